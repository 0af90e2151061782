"""What `localize` says of sounds and pictures that are not as usual."""

import json
import re

import numpy as np
import pytest
import scipy.io.wavfile
from PIL import Image

from avloc.data_pipelines.media.pictures import PictureError
from avloc.data_pipelines.media.video import VideoError
from avloc.inference.items import one_second
from avloc.inference.summary import of_sound
from avloc.inference.video import localize_image, localize_video, record_of
from tests.inference.blobs import red_blob_model, red_picture
from tests.pictures import claim_png
from tests.videos import write_video

CANCELS = "its channels cancel each other in mono, so the loudest one is taken"

MODEL = red_blob_model()


def localized(path, out):
    drawn = localize_video(MODEL, path, out, batch_size=8, progress=False)
    return json.loads(record_of(drawn).read_text())


def sounding(record, second=0):
    return [c["name"] for c in record["seconds"][second]["classes"] if c["state"] == "sounding"]


def test_a_video_whose_channels_cancel_is_heard_and_it_is_said(tmp_path):
    how = dict(seconds=2, rate=8, frequency=1500.0, size=(96, 96))
    record = localized(write_video(tmp_path / "a.mkv", gains=(1, -1), **how), tmp_path / "out")
    assert record["seconds_one_channel"] == [0, 1] and record["seconds_silent"] == []
    assert sounding(record) == sounding(record, 1) == ["drum"]
    assert of_sound(record) == [("one channel", f"in 2 of 2 seconds (0:00-0:02) {CANCELS}")]
    record = localized(write_video(tmp_path / "b.mkv", gains=(0, 0), **how), tmp_path / "out")
    assert of_sound(record) == [("silent", "in 2 of 2 seconds (0:00-0:02) nothing can be heard")]


@pytest.fixture
def picture(tmp_path):
    return red_picture(tmp_path / "photo.png", 96, 96)


def write_wav(path, *channels):
    scipy.io.wavfile.write(path, 44100, np.float32(np.stack(channels, axis=1)))
    return path


TONE = 0.5 * np.sin(2 * np.pi * 1500 * np.arange(60_000) / 44100)


def test_a_sound_file_whose_channels_cancel(picture, tmp_path):
    out = tmp_path / "out"
    for channels, said in (
        ((TONE, -TONE), [("one channel", CANCELS)]),
        ((TONE * 0,), [("silent", "nothing can be heard")]),
        ((TONE, 0.5 * TONE), []),
    ):
        drawn = localize_image(MODEL, picture, write_wav(tmp_path / "a.wav", *channels), out)
        record = json.loads(record_of(drawn).read_text())
        assert of_sound(record) == said
        heard = [c["name"] for c in record["classes"] if c["state"] == "sounding"]
        assert ("drum" in heard) == (said != [("silent", "nothing can be heard")])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_sound_that_is_none_is_refused_by_name(picture, tmp_path, value):
    wave = TONE.copy()
    wave[30_000] = value
    wav = write_wav(tmp_path / "bad.wav", wave)
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(wav))}: the sound (holds NaN|is float)"
    ):
        localize_image(MODEL, picture, wav, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_waveform_whose_channels_cancel_warns():
    stereo = np.stack([TONE[:44100], -TONE[:44100]], axis=-1)
    with pytest.warns(UserWarning, match=f"waveform 3 of the batch: {CANCELS}"):
        found = one_second(stereo, 44100, "waveform 3 of the batch")
    np.testing.assert_array_equal(found, one_second(TONE[:44100], 44100))


def test_pictures_are_read_as_a_viewer_shows_them(picture, tmp_path):
    wav = write_wav(tmp_path / "a.wav", TONE)
    grey = np.full((96, 96), 64 * 257, np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    low = write_wav(tmp_path / "low.wav", 0 * TONE)
    drawn = localize_image(MODEL, tmp_path / "deep.png", low, tmp_path / "out")
    assert np.median(np.asarray(Image.open(drawn))) == 64
    for name, width, height in (("big.png", 14_400, 10_000), ("huge.png", 20_000, 10_000)):
        claim_png(tmp_path / name, width, height)
        with pytest.raises(PictureError, match=rf"{name}: .*more than 64 megapixels"):
            localize_image(MODEL, tmp_path / name, wav, tmp_path / "none")
    (tmp_path / "photo.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(PictureError, match=r"photo\.jpg: not a picture that can be read; read are"):
        localize_image(MODEL, tmp_path / "photo.jpg", wav, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_video_of_a_strange_shape_is_refused(tmp_path):
    video = write_video(tmp_path / "thin.mkv", seconds=1, size=(640, 4))
    with pytest.raises(VideoError, match=r"thin\.mkv: 640 x 4 pixels"):
        localized(video, tmp_path / "out")

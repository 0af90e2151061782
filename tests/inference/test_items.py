"""Pictures and sounds that a model refuses, in one sentence that names the item and the fix."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avloc.inference.items import one_second
from avloc.inference.localization import draw
from tests.inference.blobs import red_blob_model
from tests.inference.test_model import HIGH, LOW, scene


def refusal(image, waveform, sample_rate=16000):
    """The one sentence with which an input is refused."""
    with pytest.raises(ValueError) as refused:
        red_blob_model().localize(image, waveform, sample_rate)
    assert "\n" not in str(refused.value) and "inhomogeneous" not in str(refused.value)
    return str(refused.value)


IMAGE = "image must be [H, W, 3] or [B, H, W, 3] uint8, not "


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (
            lambda i: np.moveaxis(i, -1, 0),
            "(3, 96, 96) uint8: its channels come first, give np.moveaxis(image, -3, -1)",
        ),
        (lambda i: i / 255, "(96, 96, 3) float64 in 0..1: give (255 * image).round().astype("),
        (lambda i: i.astype(float), "(96, 96, 3) float64 in 0..255: give image.round().astype("),
        (lambda i: i.astype(int), "(96, 96, 3) int64 in 0..255: give image.round().astype("),
        (lambda i: i - 128.0, "(96, 96, 3) float64 of -118 to 122: give 0 to 255"),
        (lambda i: i[..., 0], "(96, 96) uint8: of grey give np.stack([image] * 3, axis=-1)"),
        (lambda i: i[..., :1], "(96, 96, 1) uint8: of grey give np.repeat(image, 3, axis=-1)"),
        (lambda i: np.dstack([i, i[..., 0]]), "(96, 96, 4) uint8: of RGBA give image[..., :3]"),
        (lambda i: i[0, 0, 0], "() uint8"),
    ],
)
def test_an_image_that_is_none_gets_its_fix(spoil, sentence):
    said = refusal(spoil(scene()), HIGH)
    assert said.startswith(IMAGE + sentence), said


@pytest.mark.parametrize(
    "fix",
    [
        lambda i: np.moveaxis(np.moveaxis(i, -1, 0), -3, -1),
        lambda i: (255 * (i / 255)).round().astype(np.uint8),
        lambda i: np.dstack([i, i[..., 0]])[..., :3],
    ],
)
def test_the_fixes_give_the_image(fix):
    np.testing.assert_array_equal(fix(scene()), scene())


def test_ragged_batches_name_the_item():
    images, sounds = [scene(), scene(), scene(height=64)], [HIGH, HIGH, HIGH]
    assert refusal(images, sounds) == (
        "image 2 of the batch has other pixels than image 0, (64, 96, 3) and not (96, 96, 3): "
        "resize them to one size, or localize them one by one"
    )
    assert refusal([Image.fromarray(i) for i in images], sounds).startswith("image 2 of the batch")
    images = [scene()] * 3
    expected = (
        "waveform 1 of the batch has other samples than waveform 0, (9000,) and not (16000,): cut "
        "or pad them to one length, or localize them one by one"
    )
    assert refusal(images, [HIGH, HIGH[:9000], HIGH]) == expected
    ragged = np.empty(3, object)
    ragged[:] = [HIGH, HIGH[:9000], HIGH]
    assert refusal(images, ragged) == expected
    mixed = refusal(images, [HIGH, np.stack([HIGH, HIGH], -1), HIGH])
    assert mixed.startswith("waveform 1 of the batch has other samples")
    assert "waveform 2 of the batch must be an array" in refusal(images, [HIGH, HIGH, None])
    assert "(3)" in refusal(images, [HIGH, HIGH])
    assert refusal(np.zeros((0, 96, 96, 3), np.uint8), np.zeros((0, 9))) == (
        "image (0, 96, 96, 3) holds no pixels: give at least one image"
    )


def test_lists_of_one_size_are_batches():
    model = red_blob_model()
    found = model.localize([scene(), scene()], [HIGH, LOW], 16000)
    np.testing.assert_array_equal(found.sounding[:, 0], [True, False])


def test_a_sound_that_is_none_gets_its_fix():
    stereo = np.stack([HIGH, HIGH])
    assert refusal(scene(), stereo) == (
        "waveform (2, 16000) has its channels first: give time before channels, "
        "np.swapaxes(waveform, -1, -2)"
    )
    both = np.stack([stereo, stereo])
    first = refusal(np.stack([scene()] * 2), both)
    assert first.startswith("waveform 0 of the batch (2, 16000) has its channels first")
    assert red_blob_model().localize(scene(), np.swapaxes(stereo, -1, -2), 16000).sounding[0]
    assert refusal(scene(), HIGH[:0]) == "no sound: waveform (0,) at a rate of 16000 Hz"
    for bad in (np.nan, np.inf):
        spoilt = np.stack([HIGH, HIGH])
        spoilt[1, 77] = bad
        said = refusal(np.stack([scene()] * 2), spoilt)
        assert said == "waveform 1 of the batch holds NaN or infinity: give finite samples"
    loud = refusal(scene(), 12000 * HIGH)
    assert loud.startswith("waveform is float64 up to 1.2e+04: give -1..1, or int16")
    assert refusal(scene(), HIGH > 0) == (
        "waveform must be an array of numbers, not ndarray of bool"
    )


def test_wrong_types_are_named():
    assert refusal("a.jpg", HIGH) == "image must be an array of numbers, not str"
    assert refusal(None, HIGH) == "image must be an array of numbers, not NoneType"
    assert refusal(scene(), Path("a.wav")).startswith("waveform must be an array of numbers, not")
    assert refusal(scene(), {"sound": HIGH}) == "waveform must be an array of numbers, not dict"


@pytest.mark.parametrize("rate", ["16000", None, 44100.5, [16000], True, float("nan")])
def test_a_rate_that_is_no_number_of_hz(rate):
    assert refusal(scene(), HIGH, rate) == (
        f"sample_rate must be a whole number of Hz, one for all sounds, as 44100, not {rate!r}"
    )


def test_a_rate_of_any_type_of_number():
    expected = one_second(HIGH, 16000)
    for rate in (16000.0, np.int32(16000), np.float32(16000), np.asarray(16000)):
        np.testing.assert_array_equal(one_second(HIGH, rate), expected)
    for wrong in (0, -8000, 44, np.int64(-1), 10**12, 1e300):
        assert refusal(scene(), HIGH, wrong) == (
            f"no sound has a rate of {wrong} Hz: sample rates are 1000 to 768000 Hz, as 44100"
        )


def test_draw_names_what_it_cannot_draw():
    model = red_blob_model()
    found = model.localize(scene(), HIGH, 16000)
    for image, given, more, sentence in (
        (scene() / 255, found, {}, "in 0..1: give"),
        (scene()[None], found, {}, "draw one item at a time"),
        (None, found, {}, "image must be an array of numbers, not NoneType"),
        (scene(), found.maps, {}, "localization must be what Model.localize gave, not ndarray"),
        (scene(), found, {"truth": [0, 0, 1, 1]}, "truth must be [M, 4]"),
    ):
        with pytest.raises(ValueError) as refused:
            draw(image, given, **more)
        assert sentence in str(refused.value)


@pytest.mark.parametrize("channels", [1, 2, 8, 9, 16, 64])
def test_channels_that_come_first_are_refused(channels):
    said = refusal(scene(), np.stack([HIGH] * channels))
    assert said.startswith(f"waveform ({channels}, 16000) has its channels first: give time before")


def test_many_channels_are_taken_after_time():
    sound = np.stack([HIGH] * 16, axis=-1)
    assert red_blob_model().localize(scene(), sound, 16000).names == ("drum",)

"""Picture files of every kind become RGB, or are refused in one sentence that names them."""

import io
import sys

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from avloc.data_pipelines.media import pictures
from avloc.data_pipelines.media.pictures import MAX_PIXELS, PictureError, read_picture
from avloc.data_pipelines.media.video import VideoError, cut
from tests.pictures import claim_png
from tests.videos import write_video

GREY = np.arange(0, 256, dtype=np.uint8).repeat(4).reshape(32, 32)
DEEP = GREY.astype(np.uint16) * 257


def saved(path, image, **how):
    image.save(path, **how)
    return path


def of_mode(mode, values):
    return Image.frombytes(mode, values.shape[::-1], values.tobytes())


@pytest.mark.parametrize(
    ("name", "mode", "image"),
    [
        ("a.png", "I;16", Image.fromarray(DEEP)),
        ("a.tif", "I;16", Image.fromarray(DEEP)),
        ("b.tif", "I;16B", of_mode("I;16B", DEEP.astype(">u2"))),
        ("c.tif", "I", Image.fromarray(DEEP.astype(np.int32))),
        ("d.tif", "I", Image.fromarray(GREY.astype(np.int32))),
        ("a.pgm", "I", Image.fromarray(DEEP)),
        ("e.tif", "F", Image.fromarray((GREY / 255).astype(np.float32))),
        ("f.tif", "F", Image.fromarray(GREY.astype(np.float32))),
        ("g.tif", "F", Image.fromarray(DEEP.astype(np.float32))),
        ("b.png", "LA", Image.fromarray(GREY).convert("LA")),
        ("c.png", "RGBA", Image.fromarray(GREY).convert("RGBA")),
        ("d.png", "P", Image.fromarray(GREY).convert("P")),
        ("h.tif", "CMYK", Image.fromarray(GREY).convert("CMYK")),
        ("a.jpg", "CMYK", Image.fromarray(GREY).convert("CMYK")),
        ("a.webp", "RGB", Image.fromarray(GREY).convert("RGB")),
        ("a.gif", "L", Image.fromarray(GREY)),
        ("a.bmp", "L", Image.fromarray(GREY)),
    ],
)
def test_grey_is_the_same_grey_in_every_mode(tmp_path, name, mode, image):
    how = {"a.jpg": {"quality": 100}, "a.webp": {"lossless": True}}.get(name, {})
    path = saved(tmp_path / name, image, **how)
    with Image.open(path) as found:
        assert found.mode == mode
    made = read_picture(path)
    assert made.dtype == np.uint8 and made.shape == (32, 32, 3)
    slack = 3 if name == "a.jpg" else 0
    np.testing.assert_allclose(made.astype(int), GREY[..., None].repeat(3, -1), atol=slack)


def test_a_dark_16_bit_picture_stays_dark(tmp_path):
    """Values of 0 to 255 of 65535 are nearly black, whatever an 8-bit picture would mean."""
    for name in ("a.png", "a.pgm"):
        assert read_picture(saved(tmp_path / name, Image.fromarray(DEEP // 257))).max() == 1


def test_what_is_transparent_is_shown_on_white(tmp_path):
    alpha = np.full((32, 32), 255, np.uint8)
    alpha[:, 16:], alpha[0, 0] = 0, 128
    image = Image.fromarray(np.dstack([GREY * 0, GREY * 0, GREY * 0, alpha]))
    for mode in ("RGBA", "LA"):
        made = read_picture(saved(tmp_path / f"{mode}.png", image.convert(mode)))
        assert (made[:, 16:] == 255).all() and (made[1:, :16] == 0).all()
        np.testing.assert_allclose(made[0, 0], 127, atol=1)
    palette = saved(tmp_path / "p.png", Image.fromarray(GREY).convert("P"), transparency=b"\0\x80")
    made = read_picture(palette)
    assert (made[0, :4] == 255).all() and abs(int(made[0, 4, 0]) - 128) <= 1


def test_a_picture_is_turned_upright(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    path = saved(tmp_path / "a.png", Image.fromarray(DEEP[:16]), exif=turned)
    np.testing.assert_array_equal(read_picture(path)[..., 0], np.rot90(GREY[:16], -1))


@pytest.mark.parametrize("low, high", [(-5.0, 90.0), (0.0, np.inf), (np.nan, 1.0), (0.0, 1e9)])
def test_values_that_mean_no_grey_are_refused(tmp_path, low, high):
    values = np.full((32, 32), low, np.float32)
    values[3, 3] = high
    path = saved(tmp_path / "a.tif", Image.fromarray(values))
    with pytest.raises(PictureError, match=r"a\.tif: .*its values are .*: give 0 to 255"):
        read_picture(path)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n"


def test_no_program_is_started(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *of: started.append(of))
    path = tmp_path / "photo.jpg"
    path.write_bytes(EPS)
    with pytest.raises(PictureError, match=r"photo\.jpg: not a picture that can be read; read are"):
        read_picture(path)
    with pytest.raises(VideoError, match=r"photo\.jpg: not a picture"):
        next(cut(path))
    with pytest.raises(PictureError, match="a stored frame: not a picture"):
        read_picture(io.BytesIO(EPS), "a stored frame")
    assert not started


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ((16000, 1), "16000 x 1 pixels: each side must be at least 8"),
        ((1, 400), "1 x 400 pixels: each side must be at least 8"),
        ((16000, 8), "16000 x 8 pixels: the longer side may be 32 times the shorter one"),
        ((9000, 8000), "9000 x 8000 pixels are more than 64 megapixels: scale it down"),
        ((14400, 10000), "14400 x 10000 pixels are more than 64 megapixels"),
        ((20000, 10000), "more than 64 megapixels: scale it down"),
    ],
)
def test_sizes_that_cannot_be_used_are_told_before_decoding(tmp_path, monkeypatch, size, sentence):
    path = claim_png(tmp_path / "photo.png", *size)
    monkeypatch.setattr(pictures, "_rgb", lambda *of: sys.exit("decoded"))
    with pytest.raises(PictureError) as refused:
        read_picture(path)
    assert str(refused.value).startswith(f"{path}: {sentence}")


def test_the_limits_are_taken():
    for size in ((8, 8), (8, 256), (8000, 8000), (MAX_PIXELS // 2000, 2000)):
        pictures.check_size(*size)


def test_damaged_pictures_and_none_at_all(tmp_path):
    with pytest.raises(PictureError, match=r"none\.png: no such file"):
        read_picture(tmp_path / "none.png")
    whole = saved(tmp_path / "a.png", Image.fromarray(np.dstack([GREY] * 3))).read_bytes()
    for cut_at in (20, 40, len(whole) // 2):
        (tmp_path / "b.png").write_bytes(whole[:cut_at])
        with pytest.raises(PictureError, match=r"b\.png: (a damaged|not a) picture"):
            read_picture(tmp_path / "b.png")


def test_a_video_of_a_strange_shape_is_refused_by_name(tmp_path):
    path = write_video(tmp_path / "thin.mkv", seconds=1, size=(640, 4), sound_seconds=1)
    with pytest.raises(VideoError, match=r"thin\.mkv: 640 x 4 pixels: each side must be at least"):
        next(cut(path))

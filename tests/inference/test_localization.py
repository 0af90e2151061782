import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from avloc.inference.localization import Localization, draw
from tests.inference.blobs import red_blob_model
from tests.inference.test_model import HIGH, LOW, scene


def localization(scores, sounding, image=None):
    """Of three categories, of which the second and third are seen."""
    boxes = [np.zeros((0, 4)), np.array([[0, 0, 0.5, 0.5], [0.6, 0.6, 1, 1]]), np.ones((1, 4))]
    maps = np.zeros((4, 4, 3), np.float32)
    maps[0, 0, 1:] = 1
    return Localization(
        maps,
        np.array(scores, np.float32),
        np.array(sounding),
        boxes,
        [np.zeros(len(b)) for b in boxes],
        ("bell", "drum", "flute"),
        image,
    )


def test_hits_are_what_sounds_the_surest_first():
    first, second = localization([0.9, 0.6, 0.7], [False, True, True])
    assert (first.name, first.category) == ("flute", 2)
    assert first.score == pytest.approx(0.7) and isinstance(first.score, float)
    assert (second.name, second.category) == ("drum", 1)
    np.testing.assert_array_equal(second.box, [0, 0, 0.5, 0.5])
    assert second.boxes.shape == (2, 4)


def test_what_is_heard_and_not_seen_has_no_box():
    found = localization([0.9, 0.1, 0.1], [True, False, False])
    (hit,) = found
    assert hit.box is None and found.names == ("bell",)
    assert found.categories == ("bell", "drum", "flute")


def test_a_batch_gives_its_items():
    model = red_blob_model()
    batch = model.localize(np.stack([scene(), scene()]), np.stack([HIGH, LOW]), 16000)
    assert [item.names for item in batch] == [("drum",), ("flute",)]
    with pytest.raises(TypeError, match=r"found\[b\]\.names"):
        batch.names  # noqa: B018


def test_repr_has_two_lines():
    found = localization([0.9, 0.6, 0.7], [False, True, True])
    assert repr(found) == "Localization: flute 0.70, drum 0.60\nmaps 4 x 4 of 3 categories"
    silent = localization([0, 0, 0], [False] * 3)
    assert repr(silent).splitlines()[0] == "Localization: nothing sounds"
    batch = red_blob_model().localize(np.stack([scene()] * 9), np.stack([HIGH] * 9), 16000)
    first, second = repr(batch).splitlines()
    assert first.startswith("Localization of 9 items: [0] drum 0.60; [1] drum 0.60; ")
    assert first.endswith("[7] drum 0.60; ...")
    assert second == "maps 9 x 12 x 12 of 3 categories"


def test_a_notebook_shows_the_picture():
    image = scene(height=120, width=160)
    html = red_blob_model().localize(image, HIGH, 16000)._repr_html_()
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    found = red_blob_model().localize(image, HIGH, 16000)
    np.testing.assert_array_equal(shown, draw(image, found))
    assert "<figcaption>drum 0.60</figcaption>" in html
    batch = red_blob_model().localize(np.stack([image] * 2), np.stack([HIGH, LOW]), 16000)
    assert batch._repr_html_().count("<img ") == 2


def test_names_are_escaped_and_an_image_is_not_needed():
    found = localization([0, 0.9, 0], [False, True, False])
    spoilt = Localization(**{**vars(found), "categories": ("a", "<b>&", "c")})
    assert spoilt._repr_html_() == "<p>&lt;b&gt;&amp; 0.90</p>"

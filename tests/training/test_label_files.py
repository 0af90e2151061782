"""Labels that a tagger gives: its scores, and files of them."""

import json

import numpy as np
import pytest

from avloc.data_pipelines.loader import video_number
from avloc.training.methods.label_files import read_scores, softened


def test_likely_tags_are_nearly_certain():
    np.testing.assert_allclose(
        softened(np.float32([0.2, 0.3, 0.5, 1.0]), 0.3, 0.6), [0.2, 0.3, 0.8, 1]
    )


SCORES = {"one": [0.1, 0.9, 0.0], "two": [1.0, 0.0, 0.5]}


@pytest.mark.parametrize("kind", ["lists", "names", "csv"])
def test_scores_of_a_file(kind, tmp_path):
    file = tmp_path / ("tags.csv" if kind == "csv" else "tags.json")
    if kind == "csv":
        lines = ["id,a,b,c", *(f"{k},{','.join(map(str, v))}" for k, v in SCORES.items())]
        file.write_text("\n".join(lines) + "\n")
    elif kind == "lists":
        file.write_text(json.dumps(SCORES))
    else:
        one, two = (dict(zip("abc", v, strict=True)) for v in SCORES.values())
        two = dict(sorted(two.items(), reverse=True))  # the order of the first counts
        file.write_text(json.dumps({"one": one, "two": two}))
    found = read_scores(file, 3)
    assert found.keys() == {video_number("one"), video_number(b"two")}
    np.testing.assert_allclose(found[video_number("two")], SCORES["two"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[", "is not JSON"),
        ("[]", "no object of video id to scores"),
        ("{}", "has no video"),
        ('{"x": [1, 2]}', "has 2 scores for 'x', and config.clusters is 3"),
        ('{"x": [0, 0, 1.5]}', "scores for 'x' that are not from 0 to 1"),
        ('{"x": ["a", 0, 0]}', "1 scores for 'x'"),
        ('{"x": [NaN, 0, 0]}', "not from 0 to 1"),
    ],
)
def test_a_bad_file(text, sentence, tmp_path):
    file = tmp_path / "tags.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_scores(file, 3)

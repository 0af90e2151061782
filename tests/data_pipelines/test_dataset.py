"""An opened data set knows its splits, sizes and names."""

import numpy as np
import pytest

from data_pipelines.builders.toy_orchestra.toy_orchestra_dataset_builder import Builder


def test_info(toy):
    assert toy.info.class_names == Builder.builder_configs["tiny"].class_names
    assert toy.info.num_examples == {
        "train": 64,
        "validation": 16,
        "test": 16,
        "cocktail_train": 16,
        "cocktail_validation": 16,
        "cocktail_test": 16,
    }
    assert all(len(toy.source(split)) == size for split, size in toy.info.num_examples.items())
    assert toy.metadata["boxes"] == "exact"


def test_labels_are_the_records(toy):
    labels = toy.labels("validation")
    records = toy.source("validation")
    assert [int(records[i]["objects"]["label"][0]) for i in range(16)] == labels.tolist()
    # Two clips a video, a class a video in turn.
    assert np.bincount(labels, minlength=10).tolist() == [2] * 8 + [0] * 2


def test_unknown_split(toy):
    with pytest.raises(ValueError) as error:
        toy.source("duets")
    assert str(error.value).startswith("toy_orchestra/tiny/1.1.0 has no split 'duets'; it has ")
    assert "cocktail_test, cocktail_train, cocktail_validation, test, train" in str(error.value)

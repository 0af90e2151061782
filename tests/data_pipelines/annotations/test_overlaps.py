"""Sentences about ids in two splits."""

from avloc.data_pipelines.annotations.overlaps import overlaps


def test_pairs_of_splits_in_order():
    splits = {
        "train": ["a", "b"],
        "validation": iter(["c", "d", "e", "f", "g", "g"]),
        "test": ["g", "f", "e", "d", "b"],
    }
    assert overlaps(splits) == [
        "1 id is in both train (2) and test (5): b",
        "4 ids are in both validation (5) and test (5): d, e, f, ...",
    ]


def test_apart():
    assert overlaps({"train": ["a", "a"], "test": ["b"]}) == []
    assert overlaps({}) == []

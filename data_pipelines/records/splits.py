"""Splits that share no recording between training and testing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from avloc.data_pipelines.annotations.overlaps import overlaps


def apart(
    ids: Mapping[str, Sequence[str]], *, allow_overlap: bool = False
) -> tuple[dict[str, list[str]], list[str]]:
    """Removes ids, so that none is used both for training and for testing.

    An id in a split for training is removed from the splits for testing and validation; an id in a
    split for testing is removed from `validation`.

    Args:
      ids: of each split, as its authors list them. Splits whose name ends in `test` are for
        testing, `validation` is for validation, all others are for training.
      allow_overlap: whether ids for training stay in splits for testing.

    Returns:
      The ids that each split keeps, a sentence for each pair of splits that share some, and one
      for each split that lost some.
    """
    tests = {split for split in ids if split.endswith("test")}
    training = {split for split in ids if split not in tests and split != "validation"}
    kept, notes = {}, overlaps(ids)
    for split, listed in ids.items():
        rivals = training if split in tests else training | tests
        if split in training or (split in tests and allow_overlap):
            rivals = set()
        kept[split] = list(listed)
        for rival in (name for name in ids if name in rivals):
            taken = set(ids[rival])
            left = [member for member in kept[split] if member not in taken]
            if lost := len(kept[split]) - len(left):
                notes.append(f"{lost} of {split} are kept in {rival} and removed from {split}")
            kept[split] = left
    return kept, notes

"""Recordings that appear in two splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

_SHOWN = 3


def overlaps(splits: Mapping[str, Iterable[str]]) -> list[str]:
    """One sentence for each pair of splits that share ids, in the order of the splits.

    Args:
      splits: ids of each split; an id repeated within a split counts once.
    """
    ids = {name: dict.fromkeys(members) for name, members in splits.items()}
    sentences = []
    for first, second in combinations(ids, 2):
        shared = [member for member in ids[first] if member in ids[second]]
        if shared:
            shown = ", ".join(shared[:_SHOWN]) + (", ..." if len(shared) > _SHOWN else "")
            which = "id is" if len(shared) == 1 else "ids are"
            sentences.append(
                f"{len(shared)} {which} in both {first} ({len(ids[first])}) "
                f"and {second} ({len(ids[second])}): {shown}"
            )
    return sentences

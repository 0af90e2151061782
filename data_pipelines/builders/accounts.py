"""What happened to each wanted recording: counted by split and class, and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avloc.data_pipelines.builders.decoding import StoredClips, listed
from avloc.data_pipelines.collection import LENGTH_SLACK, Recording

_COUNTS = ("wanted", "found", "missing", "skipped", "damaged", "clips")


class SplitAccount:
    """What happened to the recordings of a split.

    Each wanted recording is either found or missing. Some of those found are skipped, because they
    gave no clip, and some are damaged: used up to the damage.

    Args:
      classes: names of the categories.

    Attributes:
      max_objects: most objects of a record.
    """

    def __init__(self, classes: Sequence[str]):
        self._classes = classes
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._by_class = {name: dict.fromkeys(_COUNTS, 0) for name in classes}
        self._missing: list[str] = []
        self._skipped: list[tuple[str, str]] = []
        self._damaged: list[tuple[str, str]] = []
        self._absent: list[str] = []
        self._unsure: dict[str, float] = {}
        self._shorter: list[tuple[str, str]] = []
        self._late: list[float] = []
        self.max_objects = 1

    @property
    def clips(self) -> int:
        """Number of records in the split."""
        return self._counts["clips"]

    def add(self, recording: Recording, stored: StoredClips | None) -> None:
        """Counts a recording; `stored` is None if its file is missing."""
        self._count(recording, "wanted")
        if stored is None:
            self._count(recording, "missing")
            self._missing.append(recording.id)
            return
        self._count(recording, "found")
        self._count(recording, "clips", len(stored.clips))
        moments = recording.moments
        early = self._measure(recording, stored)
        if not stored.clips:
            self._count(recording, "skipped")
            otherwise = "its start is not known" if early else "it ends before the wanted part"
            why = stored.problem or otherwise
            self._skipped.append((recording.id, why))
        elif stored.problem:
            self._count(recording, "damaged")
            self._damaged.append((recording.id, stored.problem))
        if moments is not None and not early:
            given = set(stored.clips)
            self._absent += [m.name for i, m in enumerate(moments) if i not in given]
            self._late += stored.late
        if moments is not None:
            self.max_objects = max([self.max_objects, *(len(m.objects) for m in moments)])
        self.max_objects = max(self.max_objects, len(recording.labels))

    def _measure(self, recording: Recording, stored: StoredClips) -> float:
        """By how much a file may begin before the part that it is taken to be."""
        if recording.part is None or stored.length is None:
            return 0.0
        early = recording.part.early(stored.length)
        if early:
            self._unsure[recording.id] = round(stored.length, 1)
        elif stored.length < recording.part.seconds - LENGTH_SLACK:
            self._shorter.append((recording.id, f"{stored.length:.1f} s"))
        return early

    def _count(self, recording: Recording, what: str, by: int = 1) -> None:
        self._counts[what] += by
        for label in set(recording.labels) - {-1}:
            self._by_class[self._classes[label]][what] += by

    def metadata(self) -> dict[str, Any]:
        """Everything as JSON; offsets of annotated frames in ms."""
        made: dict[str, Any] = {
            **self._counts,
            "by_class": self._by_class,
            "missing_ids": self._missing,
            "skipped_for": dict(self._skipped),
            "damaged_at": dict(self._damaged),
            "absent_moments": self._absent,
            "start_not_known": self._unsure,
            "shorter_than_named": dict(self._shorter),
        }
        if self._late:
            median, largest = self._offsets()
            made["frame_offset_ms"] = {"median": median, "largest": largest}
        return made

    def _offsets(self) -> tuple[float, float]:
        """Median and largest distance of frames from the annotated moments, in ms."""
        offsets = 1000 * np.abs(self._late)
        return round(float(np.median(offsets)), 1), round(float(offsets.max()), 1)

    def sentence(self, split: str) -> str:
        """A summary in one sentence."""
        counts = self._counts
        used = counts["found"] - counts["skipped"]
        parts = [f"{split}: {counts['clips']} clips from {used} of {counts['wanted']} recordings"]
        if self._late:
            median, largest = self._offsets()
            parts.append(
                f"frames {median:g} ms from the annotated moments (median), {largest:g} ms at most"
            )
        if self._missing:
            parts.append(f"{counts['missing']} missing")
        if self._absent:
            kind = "moments are" if len(self._absent) > 1 else "moment is"
            names = listed([(name, None) for name in self._absent], 3)
            parts.append(f"{len(self._absent)} annotated {kind} not in the video: {names}")
        if self._unsure:
            lengths = [(id, f"{length:g} s") for id, length in self._unsure.items()]
            parts.append(
                f"{len(lengths)} too long for the part that they are named for, so where in them "
                "it begins is not known, and only what surely lies in it is used (`ffmpeg -c copy` "
                f"begins at the key frame before; cut again without it): {listed(lengths, 3)}"
            )
        if self._shorter:
            parts.append(
                f"{len(self._shorter)} shorter than the part that they are named for, and taken "
                f"to begin where it does: {listed(self._shorter, 3)}"
            )
        if self._skipped:
            parts.append(f"skipped: {listed(self._skipped)}")
        if self._damaged:
            parts.append(f"used up to the damage: {listed(self._damaged)}")
        return "; ".join(parts)


def total_summary(accounts: Mapping[str, SplitAccount], notes: Sequence[str]) -> str:
    """What `avloc data build` prints."""
    sentences = [account.sentence(split) for split, account in accounts.items()]
    return "\n".join(f"{sentence}." for sentence in [*sentences, *notes])

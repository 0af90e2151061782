"""What was found in videos or a picture, told in a short table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from avloc.data_pipelines.media.waveform import CANCELLED
from avloc.drawing.table import Table
from avloc.drawing.timeline import clock

Record = Mapping[str, Any]
"""The content of a `.localization.json`."""

_ROWS = 20
_SPANS = 6


class Heard(NamedTuple):
    """A category that sounds.

    Attributes:
      name: of it.
      score: the highest of those at which it sounds.
      seconds: in which it sounds; of a picture none.
    """

    name: str
    score: float
    seconds: tuple[int, ...]


def heard(record: Record) -> list[Heard]:
    """The categories that sound somewhere, those that sound longest first."""
    scores: dict[str, float] = {}
    seconds: dict[str, list[int]] = {}
    for part in record.get("seconds", [record]):
        for found in part["classes"]:
            if found["state"] == "sounding":
                name = found["name"]
                scores[name] = max(scores.get(name, 0.0), found["score"])
                seconds.setdefault(name, []).extend([part["second"]] if "second" in part else [])
    found = [Heard(name, score, tuple(seconds[name])) for name, score in scores.items()]
    return sorted(found, key=lambda h: (-len(h.seconds), -h.score))


def of_sound(record: Record) -> list[tuple[str, str]]:
    """What to know of the sound of a video or picture: a word and a sentence for each thing."""
    told = []
    for word, sentence in (("silent", "nothing can be heard"), ("one_channel", CANCELLED)):
        seconds = record.get(f"seconds_{word}", ())
        when = f"in {len(seconds)} of {len(record.get('seconds', ()))} seconds ({spans(seconds)}) "
        if seconds or record.get(word):
            told.append((word.replace("_", " "), f"{when if seconds else ''}{sentence}"))
    return told


def table_of(record: Record) -> Table | str:
    """A row for each category that sounds in a video or picture; a sentence if none does."""
    found = heard(record)
    if not found:
        return f"nothing reaches the threshold of {record['threshold']:g}"
    if "seconds" not in record:
        rows = [[h.name, f"{h.score:.2f}"] for h in found]
        return Table("What sounds", ["name", "score"], rows)
    rows = [[h.name, str(len(h.seconds)), f"{h.score:.2f}", spans(h.seconds)] for h in found]
    return Table("What sounds", ["name", "seconds", "highest score", "when"], rows)


def table_of_all(records: Mapping[str, Record]) -> Table:
    """A row for each of several videos, by its name."""
    rows = []
    for name, record in records.items():
        told = ", ".join(f"{h.name} {len(h.seconds)}" for h in heard(record))
        rows.append([name, str(len(record["seconds"])), told or "nothing"])
    more = len(rows) - _ROWS
    note = f"and {more} more, in the files" if more > 0 else ""
    columns = ["video", "seconds", "sounds, and for how many seconds"]
    return Table("What sounds", columns, rows[:_ROWS], note)


def table_of_stems(record: Record) -> Table:
    """A row for each kind that a sound was taken apart by, and for what is left."""
    rows = [
        [stem["name"], f"{max(stem['loudness_db']):.0f} dB", spans(stem["sounding"]), stem["file"]]
        for stem in record["stems"]
    ]
    rest = record["rest"]
    rows.append(["what is left", f"{max(rest['loudness_db']):.0f} dB", "", rest["file"]])
    return Table("The sound, taken apart", ["name", "loudest second", "when", "file"], rows)


def spans(seconds: Sequence[int]) -> str:
    """Stretches of seconds: `0:03-0:07, 1:10-1:11`, each up to the end of its last second."""
    runs = [
        [second for _, second in run]
        for _, run in groupby(enumerate(seconds), lambda pair: pair[1] - pair[0])
    ]
    told = [f"{clock(run[0])}-{clock(run[-1] + 1)}" for run in runs]
    more = len(told) - _SPANS
    return ", ".join(told[:_SPANS]) + (f" and {more} more" if more > 0 else "")

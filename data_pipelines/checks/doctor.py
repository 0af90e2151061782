"""Checks the source of a data set before it is built: what is present, and what looks wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from avloc.data_pipelines.checks.inspection import FileFacts
from avloc.data_pipelines.collection import (
    LENGTH_SLACK,
    VIDEO_ENDINGS,
    Collection,
    Folder,
    Moment,
    Recording,
)
from avloc.data_pipelines.media.video import END_SLACK


@dataclass
class Count:
    """Numbers of recordings; `wanted` = `found` + `missing`, and `damaged` is a part of `found`."""

    wanted: int = 0
    found: int = 0
    missing: int = 0
    damaged: int = 0

    def add(self, state: str) -> None:
        """Counts one that is "found", "missing" or "damaged"."""
        self.wanted += 1
        self.found += state != "missing"
        self.missing += state == "missing"
        self.damaged += state == "damaged"


@dataclass
class BoxFindings:
    """Annotated moments of a split, whether or not their recording was found.

    Attributes:
      moments: how many there are.
      boxes: number of their boxes.
      without_box: moments without a box; they are not scored.
      several: moments of recordings with two or more labels.
      one_class: those of them that have boxes of one category only.
      outside: keys of moments with a box that extends beyond the frame.
      empty: keys of moments with a box without area.
      stranger: keys of moments with a box of a category that their recording is not said to have.
    """

    moments: int = 0
    boxes: int = 0
    without_box: int = 0
    several: int = 0
    one_class: int = 0
    outside: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    stranger: list[str] = field(default_factory=list)


@dataclass
class TimeFindings:
    """Lengths and rates of the videos found for a split.

    Attributes:
      beyond: keys of moments after the end of the video.
      shorter: recordings that end before the wanted part.
      longer: files that are wanted from their start, but go on after the wanted part: perhaps a
        whole video instead of a clip cut from it.
      unsure: recordings whose file is too long for the part that its name says it is, so where in
        it the part begins is not known. Only what lies in the part in any case is used.
      unknown: recordings whose file does not state its length.
      turned: recordings with a rotation tag.
      silent: recordings with seconds in which nothing can be heard, as far as all was decoded.
      one_channel: recordings with seconds whose channels cancel each other in mono; as there.
      rates: how many videos have which frame rate, in frames a second.
      sizes: how many have which upright size.
      offset: largest possible distance, in seconds, of a decoded frame from the annotated moment;
        None if nothing is annotated, or no rate is known.
    """

    beyond: list[str] = field(default_factory=list)
    shorter: list[str] = field(default_factory=list)
    longer: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    one_channel: list[str] = field(default_factory=list)
    rates: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    offset: float | None = None


@dataclass
class SplitFindings:
    """What was found for a split.

    Attributes:
      count: of its recordings.
      items: records that the files present can give, judged by their stated length.
      classes: recordings of each category; one of two categories counts for both.
      clips: items of each category.
      missing: ids.
      damaged: id, file and reason of each.
      boxes: of its annotation.
      times: of its videos.
    """

    count: Count = field(default_factory=Count)
    items: int = 0
    classes: dict[str, Count] = field(default_factory=dict)
    clips: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    damaged: list[dict[str, str]] = field(default_factory=list)
    boxes: BoxFindings = field(default_factory=BoxFindings)
    times: TimeFindings = field(default_factory=TimeFindings)


@dataclass
class Findings:
    """What was found for a data set.

    Attributes:
      splits: by name.
      overlaps: ids that two splits share: the splits' names, how many, and the ids.
      duplicates: groups of ids whose files have the same content, with the splits that want them.
      blocked: a sentence for each split that cannot be built.
      notes: the data set's own sentences about its lists.
      unused: videos of the folder that no split wants, as paths inside it.
      drawn: whether the splits were drawn from the files that can be used, as the build does.
      decoded: whether every file was read to its end.
      unclassed: name under which recordings of no known category are counted.
    """

    splits: dict[str, SplitFindings]
    overlaps: list[dict]
    duplicates: list[dict]
    blocked: list[str]
    notes: list[str]
    unused: list[str] = field(default_factory=list)
    drawn: bool = False
    decoded: bool = False
    unclassed: str = "(no category)"


def wanted_files(collection: Collection) -> set[Path]:
    """The files that a collection found for its recordings."""
    everything = (recording for split in collection.splits.values() for recording in split)
    return {path for r in everything for path in (r.path, r.sound) if path is not None}


def unused_videos(folder: Folder, collection: Collection) -> list[str]:
    """Videos that no split wants, as paths inside the folder; a wrong name shows up here."""
    wanted = wanted_files(collection)
    return [
        path.relative_to(folder.root).as_posix()
        for path in folder.files
        if path.suffix.lower()[1:] in VIDEO_ENDINGS and path not in wanted
    ]


def examine(collection: Collection, facts: Mapping[Path, FileFacts]) -> Findings:
    """Compares what a data set wants with the files present.

    Args:
      collection: what it wants.
      facts: one for each of `wanted_files(collection)`.
    """
    findings = Findings(
        splits={name: _split(collection, name, facts) for name in collection.splits},
        overlaps=list(_overlaps(collection)),
        duplicates=list(_duplicates(collection, facts)),
        blocked=[],
        notes=list(collection.notes),
        drawn=collection.without is not None,
    )
    if not findings.splits:
        findings.blocked.append(findings.notes.pop(0))
    for name, split in findings.splits.items():
        count = split.count
        if not count.wanted and name.endswith("validation"):
            findings.notes.append(f"the lists have no recording for split {name}")
        elif not count.wanted:
            files = ", ".join(path.name for path in collection.annotations)
            findings.blocked.append(
                f"{name}: the lists have no recording for it"
                + (f" (read: {files}): get them again" if files else "")
            )
        elif not count.found:
            findings.blocked.append(f"{name}: none of its {count.wanted} recordings was found")
        elif not split.items and count.found == count.damaged:
            findings.blocked.append(f"{name}: none of the {count.found} found can be used")
        elif not split.items:
            findings.blocked.append(
                f"{name}: the {count.found} found contain no annotated moment and no whole clip"
            )
    return findings


def problem(recording: Recording, facts: Mapping[Path, FileFacts]) -> tuple[Path, str] | None:
    """The file of a recording that cannot be used in full, and why."""
    for path in (recording.path, recording.sound):
        if path is not None and facts[path].problem:
            return path, facts[path].problem
    silent = recording.path and recording.sound is None and not facts[recording.path].has_audio
    return (recording.path, "no sound track") if silent else None


def useless(facts: Mapping[Path, FileFacts], clip_seconds: int) -> dict[Path, str]:
    """Videos that give no clip, and why, in the words of the build."""
    bad = {}
    for path, fact in facts.items():
        usable = [length for length in (fact.duration, fact.good) if length is not None]
        short = bool(usable) and min(usable) < clip_seconds * (1 - END_SLACK)
        if fact.problem and short:
            bad[path] = fact.problem
        elif not fact.has_audio:
            bad[path] = "no sound track"
        elif short:
            bad[path] = f"shorter than a second ({min(usable):.2f} s)"
    return bad


def _split(collection: Collection, name: str, facts: Mapping[Path, FileFacts]) -> SplitFindings:
    made = SplitFindings(classes={kind: Count() for kind in collection.classes})
    for recording in collection.splits[name]:
        there = recording.path is not None and (not recording.still or recording.sound is not None)
        if not there:
            state = "missing"
            made.missing.append(recording.id)
        elif fault := problem(recording, facts):
            state = "damaged"
            path, why = fault
            made.damaged.append({"id": recording.id, "file": str(path), "reason": why})
        else:
            state = "found"
        made.count.add(state)
        for kind in _kinds(recording, collection.classes):
            made.classes.setdefault(kind, Count()).add(state)
        for moment in recording.moments or ():
            _boxes(made.boxes, recording, moment)
        if there:
            items = _times(made.times, recording, facts, collection.clip_seconds)
            made.items += items
            for kind in _kinds(recording, collection.classes):
                made.clips[kind] = made.clips.get(kind, 0) + items
    return made


def _kinds(recording: Recording, classes: Sequence[str]) -> Iterator[str]:
    """Names of the categories of a recording, from its labels or else from its boxes."""
    labels = set(recording.labels) or {
        thing.label for moment in recording.moments or () for thing in moment.objects
    }
    known = [classes[label] for label in sorted(labels) if 0 <= label < len(classes)]
    yield from known or [Findings.unclassed]


def _boxes(made: BoxFindings, recording: Recording, moment: Moment) -> None:
    boxed = [thing for thing in moment.objects if thing.box is not None]
    made.moments += 1
    made.boxes += len(boxed)
    made.without_box += not boxed
    if len(recording.labels) > 1:
        made.several += 1
        made.one_class += len({thing.label for thing in boxed}) == 1
    if any(min(thing.box) < -_ROUNDING or max(thing.box) > 1 + _ROUNDING for thing in boxed):
        made.outside.append(moment.name)
    if any(thing.box[2] <= thing.box[0] or thing.box[3] <= thing.box[1] for thing in boxed):
        made.empty.append(moment.name)
    if recording.labels and any(thing.label not in (*recording.labels, -1) for thing in boxed):
        made.stranger.append(moment.name)


_ROUNDING = 1e-3  # boxes are published with few digits


def _times(
    made: TimeFindings, recording: Recording, facts: Mapping[Path, FileFacts], clip_seconds: int
) -> int:
    """Adds lengths and rates of a recording; returns how many records it gives."""
    about = facts[recording.path]
    if about.width:
        _count(made.sizes, f"{about.width} x {about.height}")
    if about.rotation:
        made.turned.append(recording.id)
    if about.silent:
        made.silent.append(recording.id)
    if about.one_channel:
        made.one_channel.append(recording.id)
    if about.rate:
        _count(made.rates, f"{about.rate:.5g}")
        if recording.moments:
            made.offset = max(made.offset or 0.0, 0.5 / about.rate)
    files = [facts[path] for path in (recording.path, recording.sound) if path is not None]
    lengths = [fact.duration for fact in files if fact.duration is not None]
    good = [fact.good for fact in files if fact.good is not None]
    wanted = None if recording.length is None else recording.start + recording.length
    if recording.sound is None and not about.has_audio:
        good.append(0.0)
    elif not lengths and not good:
        made.unknown.append(recording.id)
    stated = min(lengths, default=None)
    unsure = recording.part.unsure(stated, clip_seconds) if recording.part else 0
    if unsure:
        made.unsure.append(recording.id)
    if wanted is not None and lengths:
        if min(lengths) < wanted - LENGTH_SLACK:
            made.shorter.append(recording.id)
        elif (
            recording.part is None and recording.start == 0 and min(lengths) > wanted + LENGTH_SLACK
        ):
            made.longer.append(recording.id)
    if recording.moments is None:
        known = [*lengths, *good, *([wanted] if wanted is not None else [])]
        span = min(known) - recording.start if known else 0.0
        if wanted is None:
            span -= about.silent or 0
        return max(0, math.floor(span / clip_seconds + END_SLACK) - unsure)

    def within(moment: Moment, end: float) -> bool:
        return (
            moment.time <= end + END_SLACK and moment.start + clip_seconds * (1 - END_SLACK) <= end
        )

    ends = min(lengths, default=math.inf)
    made.beyond += [moment.name for moment in recording.moments if not within(moment, ends)]
    if unsure:
        return 0
    return sum(within(moment, min([ends, *good])) for moment in recording.moments)


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1


def _overlaps(collection: Collection) -> Iterator[dict]:
    ids = {name: {r.id for r in split} for name, split in collection.splits.items()}
    for one, other in combinations(ids, 2):
        if shared := sorted(ids[one] & ids[other]):
            yield {"splits": [one, other], "count": len(shared), "ids": shared}


def _duplicates(collection: Collection, facts: Mapping[Path, FileFacts]) -> Iterator[dict]:
    """Recordings with different ids but the same pictures and the same sound."""
    wanting: dict[str, dict[str, set[str]]] = {}
    for name, split in collection.splits.items():
        for r in split:
            files = [path for path in (r.path, r.sound) if path is not None]
            if r.path is not None and all(facts[path].sha256 for path in files):
                content = "+".join(facts[path].sha256 for path in files)
                wanting.setdefault(content, {}).setdefault(r.id, set()).add(name)
    for content, ids in sorted(wanting.items()):
        if len(ids) > 1:
            splits = sorted(set().union(*ids.values()))
            yield {"ids": sorted(ids), "splits": splits, "sha256": content}

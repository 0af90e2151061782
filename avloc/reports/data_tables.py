"""Findings about a data set, as tables and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from avloc.data_pipelines.checks.doctor import BoxFindings, Findings, SplitFindings
from avloc.data_pipelines.checks.records import BuiltFindings
from avloc.drawing.bars import Bars
from avloc.drawing.table import Table

SHOWN = 20
"""Maximum number of ids that a table lists of each kind; the JSON file has all."""


def source_summary(findings: Findings, width: int | None = None) -> str:
    """A few lines to print, their table no wider than so many letters; None: as Markdown."""
    ready = len(findings.splits) - len(findings.blocked)
    lines = [f"cannot be built: {sentence}" for sentence in findings.blocked]
    if findings.splits:
        lines.append(f"{ready} of {len(findings.splits)} splits can be built from the files found")
    lines += unused(findings, 3)
    tables = [counts_table(findings)]
    if findings.drawn:  # the user's own: what will be in it is news
        tables += clips_table(findings)
        lines += [f"{note[0].upper()}{note[1:]}" for note in findings.notes]
        if not findings.decoded:
            lines.append("Each file was checked by its start; --decode finds damage anywhere")
    return "\n\n".join([*(table.text(width) for table in tables), "\n".join(lines)])


def clips_table(findings: Findings) -> list[Table]:
    """Clips and videos of each class in each split, if there are classes."""
    splits = findings.splits
    kinds = dict.fromkeys(kind for split in splits.values() for kind in split.classes)
    if list(kinds) in ([], [findings.unclassed]):
        return []
    rows = []
    for kind in kinds:
        cells = []
        for split in splits.values():
            videos = split.classes[kind].found if kind in split.classes else 0
            cells.append(f"{split.clips.get(kind, 0):,} ({videos:,})" if videos else "-")
        rows.append([kind, *cells])
    note = "Clips, and in brackets the videos that they are from."
    return [Table("Clips of each class", ["class", *splits], rows, note)]


def unused(findings: Findings, most: int = SHOWN) -> list[str]:
    """A sentence about videos that no split wants, if there are any."""
    names = findings.unused
    if not names:
        return []
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return [f"Videos in the folder that no split wants: {', '.join(names[:most])}{rest}"]


def counts_table(findings: Findings) -> Table:
    """Wanted, found, missing and damaged recordings of each split."""
    rows = []
    for name, split in findings.splits.items():
        count = split.count
        numbers = (count.wanted, count.found, count.missing, count.damaged, split.items)
        rows.append([name, *(f"{n:,}" for n in numbers)])
    return Table(
        "Recordings",
        ["split", "wanted", "found", "missing", "damaged", "items"],
        rows,
        "Found includes damaged. Items: clips or annotated frames that can be made from the "
        "undamaged files.",
    )


def source_tables(findings: Findings) -> list[Table]:
    """Everything that was found of a source folder."""
    splits = findings.splits
    clips = clips_table(findings) if findings.drawn else []
    tables = [counts_table(findings), *clips, *_missing(splits), *_damaged(splits)]
    if findings.overlaps:
        tables.append(
            Table(
                "Recordings in two splits",
                ["splits", "shared", "ids"],
                [
                    [" and ".join(o["splits"]), f"{o['count']:,}", _some(o["ids"])]
                    for o in findings.overlaps
                ],
                "According to the data set's lists.",
            )
        )
    if findings.duplicates:
        tables.append(
            Table(
                "Different ids, same content",
                ["ids", "splits"],
                [[_some(d["ids"]), ", ".join(d["splits"])] for d in findings.duplicates[:SHOWN]],
                _more(len(findings.duplicates), "the files are equal byte for byte"),
            )
        )
    boxed = {name: split.boxes for name, split in splits.items() if split.boxes.moments}
    if boxed:
        tables += [_box_table(boxed), *_box_faults(boxed)]
    if any(split.times.sizes for split in splits.values()):
        tables.append(_time_table(splits))
    return tables + _time_faults(splits)


def _missing(splits: Mapping[str, SplitFindings]) -> list[Table]:
    rows = [
        [name, f"{len(split.missing):,}", _some(split.missing)]
        for name, split in splits.items()
        if split.missing
    ]
    note = f"The first {SHOWN} ids of each split; doctor.json has all."
    return [Table("Missing", ["split", "missing", "ids"], rows, note)] if rows else []


def _damaged(splits: Mapping[str, SplitFindings]) -> list[Table]:
    rows = [
        [fault["id"], name, Path(fault["file"]).name, fault["reason"]]
        for name, split in splits.items()
        for fault in split.damaged[:SHOWN]
    ]
    note = f"The first {SHOWN} of each split; doctor.json has all."
    return [Table("Damaged", ["id", "split", "file", "reason"], rows, note)] if rows else []


def _box_table(boxed: Mapping[str, BoxFindings]) -> Table:
    rows = [
        [
            name,
            f"{b.moments:,}",
            f"{b.boxes:,}",
            _share(b.without_box, b.moments),
            _share(b.one_class, b.several),
            *(f"{len(keys):,}" for keys in (b.outside, b.empty, b.stranger)),
        ]
        for name, b in boxed.items()
    ]
    return Table(
        "Annotated frames",
        [
            "split",
            "frames",
            "boxes",
            "without a box",
            "one class of several",
            "box outside the frame",
            "box without area",
            "box of another class",
        ],
        rows,
        "All annotated frames, whether or not their recording was found. Frames without a box are "
        "not scored. One class of several: frames of recordings with two or more classes in which "
        "only one is boxed. Another class: one that is not among the recording's own labels.",
    )


def _box_faults(boxed: Mapping[str, BoxFindings]) -> list[Table]:
    rows = [
        [what, name, _some(keys)]
        for name, b in boxed.items()
        for what, keys in (
            ("outside the frame", b.outside),
            ("no area", b.empty),
            ("another class", b.stranger),
        )
        if keys
    ]
    return [Table("Boxes to check", ["fault", "split", "frames"], rows)] if rows else []


def _time_table(splits: Mapping[str, SplitFindings]) -> Table:
    rows = []
    for name, split in splits.items():
        times = split.times
        if not times.sizes:
            continue
        offset = "" if times.offset is None else f"{1000 * times.offset:.0f} ms"
        rows.append([name, _commonest(times.rates), offset, _commonest(times.sizes)])
    return Table(
        "Rates and sizes",
        ["split", "frames a second", "nearest frame within", "size"],
        rows,
        "In brackets, the number of recordings, most common first. Annotated frames are matched "
        "by time; the nearest decoded frame is at most this far away.",
    )


def _time_faults(splits: Mapping[str, SplitFindings]) -> list[Table]:
    rows = [
        [what, name, f"{len(keys):,}", _some(keys)]
        for name, split in splits.items()
        for what, keys in (
            ("annotated frame after the end of the video", split.times.beyond),
            ("shorter than the list says", split.times.shorter),
            ("longer than the list says", split.times.longer),
            ("too long for the part it is named for: start not known", split.times.unsure),
            ("length not stated by the file", split.times.unknown),
            ("rotation tag, turned upright when built", split.times.turned),
        )
        if keys
    ]
    return [Table("Videos to check", ["what", "split", "how many", "which"], rows)] if rows else []


def balance(name: str, split: SplitFindings) -> Bars:
    """Recordings of each category of a split, most wanted first."""
    order = sorted(split.classes.items(), key=lambda item: -item[1].wanted)
    return Bars(
        f"Recordings of each category, {name}",
        {kind: [c.found - c.damaged, c.damaged, c.missing] for kind, c in order},
        ["found", "damaged", "missing"],
    )


def built_table(findings: BuiltFindings) -> Table:
    """What was found in each split of a built data set."""
    kept = findings.metadata.get("accounts", {})
    rows = []
    for name, split in findings.splits.items():
        faults = (split.outside, split.empty, split.unlabelled, split.silent, split.duplicates)
        numbers = (split.records, split.videos, split.objects, split.unplaced, *map(len, faults))
        made = kept.get(name, {})
        found = f"{made['found']:,} of {made['wanted']:,}" if made else ""
        rows.append([name, found, *(f"{n:,}" for n in numbers)])
    return Table(
        "Records",
        [
            "split",
            "recordings found",
            "records",
            "videos",
            "objects",
            "without a position",
            "box outside the frame",
            "box without area",
            "unknown category",
            "silent",
            "same pictures",
        ],
        rows,
        "Without a position: objects in the picture that have no box. Silent: records whose sound "
        "is all zeros. Same pictures: groups of records with identical frames.",
    )


def built_faults(findings: BuiltFindings) -> list[Table]:
    """Records of a built data set that should be checked."""
    rows: list[list[str]] = []
    for name, split in findings.splits.items():
        for what, ids in (
            ("box outside the frame", split.outside),
            ("box without area", split.empty),
            ("unknown category", split.unlabelled),
            ("silent", split.silent),
            ("same pictures", [" = ".join(group) for group in split.duplicates]),
        ):
            rows += [[what, name, _some(ids)]] if ids else []
    for shared in findings.shared_frames:
        pairs = [" = ".join(pair) for pair in shared["ids"]]
        rows.append(["same pictures in two splits", " and ".join(shared["splits"]), _some(pairs)])
    return [Table("Records to check", ["what", "split", "records"], rows)] if rows else []


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:SHOWN])
    return f"{shown} and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else shown


def _more(count: int, sentence: str) -> str:
    rest = f" and {count - SHOWN:,} more in doctor.json" if count > SHOWN else ""
    return f"{sentence[0].upper()}{sentence[1:]}{rest}."


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})" if whole else ""


def _commonest(counts: Mapping[str, int], most: int = 4) -> str:
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{what} ({count:,})" for what, count in order[:most])
    return f"{shown} and {len(order) - most} more" if len(order) > most else shown

"""Pages about data: a check of a source folder, a check of a built data set, a preview."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from avloc.data_pipelines.checks import preview
from avloc.data_pipelines.checks.doctor import (
    Findings,
    examine,
    unused_videos,
    useless,
    wanted_files,
)
from avloc.data_pipelines.checks.inspection import FileFacts, inspect_all
from avloc.data_pipelines.checks.records import BuiltFindings, check_records
from avloc.data_pipelines.collection import Collection, Folder
from avloc.data_pipelines.dataset import Dataset
from avloc.drawing.bars import Bars
from avloc.drawing.contact_sheet import contact_sheet
from avloc.drawing.page import write_report
from avloc.reports.data_tables import (
    balance,
    built_faults,
    built_table,
    source_tables,
    unused,
)
from avloc.whole_files import replacing


def examine_source(
    name: str, source: str | Path, collection: Collection, out: Path, *, decode: bool = False
) -> tuple[Findings, Path]:
    """Checks a user's folder for a data set; writes `doctor.html` and `doctor.json`.

    Args:
      name: of the data set.
      source: the user's folder.
      collection: what the data set wants from it.
      out: folder for the page, created if missing. `files.json` in it keeps the results of each
        file, so that the next call only reads new files.
      decode: whether to decode every file to its end, which finds damage anywhere in it.

    Returns:
      The findings, and the page's path.
    """
    facts = inspect_all(wanted_files(collection), out / "files.json", decode=decode)
    if collection.without is not None:
        collection = collection.without(useless(facts, collection.clip_seconds))
    findings = examine(collection, facts)
    findings.decoded = decode
    findings.unused = [] if findings.drawn else unused_videos(Folder(source), collection)
    content = asdict(findings) | {
        "name": name,
        "source": str(source),
        "classes": list(collection.classes),
        "annotations": [str(path) for path in collection.annotations],
        "decoded": decode,
        "files": {str(path): asdict(fact) for path, fact in sorted(facts.items())},
    }
    _write_json(out / "doctor.json", content)
    page = write_report(
        out / "doctor.html",
        title=f"{name}: check of the source folder",
        notes=_source_notes(findings, source, facts, decode),
        tables=source_tables(findings),
        bars=[balance(name, split) for name, split in findings.splits.items() if split.classes],
    )
    return findings, page


def examine_built(spec: str, dataset: Dataset, out: Path) -> tuple[BuiltFindings, Path]:
    """Checks the records of a built data set; writes `doctor.html` and `doctor.json`."""
    findings = check_records(dataset)
    _write_json(out / "doctor.json", {"name": spec} | asdict(findings))
    metadata = findings.metadata
    notes = [metadata.get("summary", ""), *metadata.get("notes", ())]
    bars = [
        Bars(
            f"Objects of each category, {name}",
            {kind: [split.classes.get(kind, 0)] for kind in dataset.info.class_names},
            ["objects"],
        )
        for name, split in findings.splits.items()
        if split.classes
    ]
    page = write_report(
        out / "doctor.html",
        title=f"{spec}: check of the records",
        notes=[note for note in notes if note],
        tables=[built_table(findings), *built_faults(findings)],
        bars=bars,
    )
    return findings, page


def write_preview(spec: str, dataset: Dataset, split: str, count: int, out: Path) -> Path:
    """Writes a contact sheet of `count` items of a built split as PNG, and returns its path."""
    if out.is_dir():
        raise ValueError(f"{out} is a folder; --out takes the name of a PNG file")
    items = preview.items(dataset, split, count)
    total = dataset.info.num_examples[split]
    title = f"{spec}, split {split}: {len(items)} of {total} items, evenly spaced"
    sheet = Image.fromarray(contact_sheet(items, dataset.info.class_names, title))
    with replacing(out) as unfinished:
        sheet.save(unfinished, format="PNG")
    return out


def _source_notes(
    findings: Findings, source: str | Path, facts: Mapping[Path, FileFacts], decode: bool
) -> list[str]:
    size = sum(fact.bytes for fact in facts.values()) / 1e9
    looked = "decoded completely." if decode else "checked by its header and first frame; "
    return [
        f"Source {source}: {len(facts):,} files that the data set wants, {size:.2f} GB. Each "
        f"was {looked}" + ("" if decode else "use --decode to find damage anywhere in it."),
        *(f"Cannot be built: {sentence}." for sentence in findings.blocked),
        *(f"{sentence}." for sentence in unused(findings)),
        *(f"{note[0].upper()}{note[1:].removesuffix('.')}." for note in findings.notes if note),
    ]


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")

"""Reads annotation files; errors name the file and the entry."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from avloc.json_files import as_kind, as_number, as_whole, read_json, read_text, take

__all__ = [
    "as_kind",
    "as_number",
    "as_row",
    "as_whole",
    "cells",
    "read_json",
    "read_lines",
    "read_text",
    "take",
]


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Lines that are not blank, each with the text that names it in an error."""
    lines = read_text(path).splitlines()
    return [(f"{path}, line {n}", s.strip()) for n, s in enumerate(lines, 1) if s.strip()]


def cells(line: str, place: str) -> list[str]:
    """The cells of a line of a CSV file."""
    try:
        return next(csv.reader([line], skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"{place}: not a line of a CSV file ({error})") from error


def as_row(value: Any, place: str) -> tuple[float, float, float, float]:
    """Four finite numbers: a box in the order of its file."""
    row = as_kind(value, list, place)
    if len(row) != 4:
        raise ValueError(f"{place}: a box has four numbers, not {len(row)}")
    a, b, c, d = (as_number(number, place) for number in row)
    return a, b, c, d

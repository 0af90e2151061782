"""Reads annotation files; errors name the file and the entry."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


def read_text(path: Path) -> str:
    """The file as text; ValueError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Lines that are not blank, each with the text that names it in an error."""
    lines = read_text(path).splitlines()
    return [(f"{path}, line {n}", s.strip()) for n, s in enumerate(lines, 1) if s.strip()]


def read_json(path: Path, kind: type[T]) -> T:
    """The file's JSON value, which must be of the kind `dict` or `list`."""
    text = read_text(path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    return as_kind(value, kind, str(path))


def as_kind(value: Any, kind: type[T], place: str) -> T:
    """The value itself; ValueError naming its place if it is of another kind."""
    if not isinstance(value, kind):
        raise ValueError(f"{place}: must be {_KINDS[kind]}, not {_short(value)}")
    return value


def take(entry: Mapping[str, Any], key: str, kind: type[T], place: str) -> T:
    """The value of a field; ValueError naming place and field if it is missing or another kind."""
    if key not in entry:
        raise ValueError(f'{place}: the field "{key}" is missing')
    return as_kind(entry[key], kind, f'{place}, "{key}"')


def as_whole(value: Any, place: str) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{place}: must be a whole number, not {_short(value)}")
    return value


def as_number(value: Any, place: str) -> float:
    """A finite number, also from text such as a cell of a CSV file."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{place}: must be a finite number, not {_short(value)}")
    return number


def as_row(value: Any, place: str) -> tuple[float, float, float, float]:
    """Four finite numbers: a box in the order of its file."""
    row = as_kind(value, list, place)
    if len(row) != 4:
        raise ValueError(f"{place}: a box has four numbers, not {len(row)}")
    a, b, c, d = (as_number(number, place) for number in row)
    return a, b, c, d


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."

"""Reads JSON files; errors name the file and the field, and say what must be there."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
# NUL, and halves of characters.
_UNSAYABLE = re.compile(r"[\x00\ud800-\udfff]")
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


def read_text(path: Path) -> str:
    """The file as text; ValueError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error


def read_json(path: Path, kind: type[T]) -> T:
    """The file's JSON value, which must be of the kind `dict` or `list`."""
    text = read_text(path)
    if not text.strip():
        raise ValueError(f"{path}: the file is empty, and must be {_KINDS[kind]} in JSON")
    try:
        value = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    return as_kind(value, kind, str(path))


def parse_json(text: str | bytes) -> Any:
    """`json.loads`, whose fault at lists within lists within lists is a ValueError too."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def as_kind(value: Any, kind: type[T], place: str) -> T:
    """The value itself; ValueError naming its place if it is of another kind."""
    if not isinstance(value, kind):
        raise ValueError(f"{place}: must be {_KINDS[kind]}, not {_short(value)}")
    if isinstance(value, str) and _UNSAYABLE.search(value):
        raise ValueError(f"{place}: {value!r} has a character that no name of a file can have")
    return value


def take(entry: Mapping[str, Any], key: str, kind: type[T], place: str) -> T:
    """The value of a field; ValueError naming place and field if it is missing or another kind."""
    if key not in entry:
        raise ValueError(f'{place}: the field "{key}" is missing')
    return as_kind(entry[key], kind, f'{place}, "{key}"')


def take_texts(entry: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    """The texts of a field that is a list of them."""
    found = take(entry, key, list, place)
    return tuple(as_kind(x, str, f'{place}, "{key}", entry {n}') for n, x in enumerate(found))


def as_whole(value: Any, place: str) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{place}: must be a whole number, not {_short(value)}")
    return value


def as_count(value: Any, place: str, least: int = 0) -> int:
    """A whole number that is not below the least."""
    if as_whole(value, place) < least:
        raise ValueError(f"{place}: must be {least} or more, not {_short(value)}")
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


def require_like(value: Any, form: Any, place: str) -> None:
    """Checks values within values; fields that are not there are not asked for.

    Args:
      value: what was read.
      form: a type, or a union of types; `[form]`, a list of such; `{str: form}`, an object of such
        by any names; `{name: form}`, an object with those fields.
      place: for the error.

    Raises:
      ValueError: it is of another form.
    """
    if isinstance(form, dict) and isinstance(value, dict):
        for key, inner in value.items():
            if (known := form.get(str, form.get(key))) is not None:
                require_like(inner, known, f'{place}, "{key}"')
    elif isinstance(form, list) and isinstance(value, list):
        for number, inner in enumerate(value):
            require_like(inner, form[0], f"{place}, entry {number}")
    elif isinstance(form, dict | list) or not isinstance(value, form):
        raise ValueError(f"{place}: must not be {_short(value)}")
    elif isinstance(value, bool) and form is not bool:
        raise ValueError(f"{place}: must be a number, not {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."

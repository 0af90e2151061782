"""Names that a user gives: what they stand for, and the nearest one to a misspelt name."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any


def did_you_mean(
    name: str,
    known: Iterable[str],
    hint: str = "; did you mean {!r}?",
    shown: Mapping[str, str] = MappingProxyType({}),
    near: float = 0.6,
) -> str:
    """The hint that ends a sentence about a name that is not known; empty where none is near.

    Args:
      name: as it was given.
      known: names that there are.
      hint: with `{}` for the nearest of them.
      shown: what stands there in place of a name, if not the name.
      near: how alike two names must be, 0 to 1.
    """
    spelt = {word.lower(): word for word in known}
    found = difflib.get_close_matches(name.lower(), spelt, n=1, cutoff=near)
    return hint.format(shown.get(spelt[found[0]], spelt[found[0]])) if found else ""


def plain_name(name: str, what: str) -> str:
    """The name, if it can be that of a file or folder and leads nowhere else.

    Args:
      name: as it was given.
      what: what it names, for the sentence: `the configuration`.

    Raises:
      ValueError: it cannot.
    """
    if not re.fullmatch(r"\w[\w .-]*", name) or len(name.encode()) > _LONGEST:
        raise ValueError(
            f"{name[:_LONGEST]!r} cannot be the name of {what}: give at most {_LONGEST} letters, "
            "digits, spaces and _ . -, a letter or digit first"
        )
    return name


def file_names(kinds: Iterable[str]) -> list[str]:
    """Names of files for kinds of things, each another one, whatever the kinds are called."""
    taken: dict[str, int] = {}
    names = []
    for kind in kinds:
        name = re.sub(r"[^\w .-]+", "_", kind).strip(" .")[:_LONGEST] or "_"
        taken[name.lower()] = count = taken.get(name.lower(), 0) + 1
        names.append(name if count == 1 else f"{name} ({count})")
    return names


_LONGEST = 100


def named(name: str, ours: Mapping[str, Any], field: str) -> Any:
    """What a name stands for.

    Args:
      name: a key of `ours`, or `package.module:Name`. Modules in the working directory are found
        too, behind those that are installed.
      ours: what comes with avloc, by name.
      field: of the config, for sentences: `config.method`.

    Raises:
      ValueError: there is no such name, module, or name in the module.
    """
    if name in ours:
        return ours[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(
            f"{field} is one of {sorted(ours)}, or package.module:Name of your own, not "
            f"{name!r}{did_you_mean(name, ours)}"
        )
    try:
        found = _imported(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks one that it imports
        raise ValueError(
            f"{field} is {name!r}, but there is no module {error.name!r}: install it, or run from "
            "the folder that holds it"
        ) from None
    if not hasattr(found, attribute):
        names = [key for key, value in vars(found).items() if callable(value)]
        hint = did_you_mean(attribute, names)
        raise ValueError(f"{field} is {name!r}, but {found.__file__} has no {attribute!r}{hint}")
    return getattr(found, attribute)


def _imported(module: str) -> Any:
    # The script `avloc` does not look in the working directory as `python -m avloc` does. Last, so
    # that no file there takes the place of an installed module.
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    return importlib.import_module(module)

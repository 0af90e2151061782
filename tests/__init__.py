"""Processes that tests start by `python -m tests.ROOM.FILE` keep pytest's filters of warnings."""

import builtins
import tomllib
import warnings
from pathlib import Path

_TEXT = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
for _filter in tomllib.loads(_TEXT)["tool"]["pytest"]["ini_options"]["filterwarnings"]:
    _action, _message, _category, _module, *_ = f"{_filter}:::".split(":")
    warnings.filterwarnings(_action, _message, getattr(builtins, _category), _module)

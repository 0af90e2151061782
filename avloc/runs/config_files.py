"""Finds the Python file that a config's name stands for, and runs it."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from avloc.naming import did_you_mean
from avloc.runs.old_names import spelling_of_today


def call(name: str | Path, function: str, shipped: Path) -> Any:
    """What a function of a Python file gives.

    The file's imports find its own folder first, then the working directory, whether the program
    is `avloc` or `python -m avloc`.

    Args:
      name: path of the file, with or without `.py`. Where there is no such file, the one of that
        name in the folder `shipped`.

    Raises:
      ValueError: there is no such file, it has no such function, or it cannot be imported.
    """
    file = _find(name, function, shipped)
    own = file.parent != shipped
    try:
        with _importing_from(file.parent.absolute()) if own else nullcontext():
            spec = importlib.util.spec_from_file_location(f"_config_{file.stem}", file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            if not hasattr(module, function):
                raise ValueError(f"{file} is not a config: it has no {function}()")
            return getattr(module, function)()
    except ImportError as error:
        raise ValueError(_explain(error, file)) from error
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise ValueError(f"{error.filename or file}{line}: {error.msg}") from error
    except TypeError:
        raise
    except ValueError as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        if Path(last) == file.absolute() or last.startswith("<frozen "):  # bytes that are no text
            raise ValueError(failed(error, file)) from error
        raise  # a sentence, of ours or of whom the file asked
    except Exception as error:  # the file is a program, which may do anything
        raise ValueError(failed(error, file)) from error


def failed(error: Exception, file: str | Path) -> str:
    """One sentence about an error in a config file: where, and what."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == Path(file).absolute()]
    where = f"{file}, line {own[-1].lineno}" if own else file
    return f"{where}: {type(error).__name__}: {error}".rstrip(": ")


def _find(name: str | Path, function: str, shipped: Path) -> Path:
    for file in (Path(name), Path(f"{name}.py")):
        if file.suffix == ".py" and file.is_file():
            return file
    stem = Path(name).name.removesuffix(".py")
    ours = {file.stem: file for file in files_with(function, shipped)}
    if stem in ours:
        return ours[stem]
    if Path(name).is_file():
        raise ValueError(f"{name} is not a Python file: rename it to {name}.py")
    theirs = {file.stem: file for file in files_with(function, Path(name).parent)}
    paths = {stem: str(file) for stem, file in theirs.items()}
    hint = did_you_mean(stem, [*theirs, *ours], " (did you mean {}?)", paths)
    raise ValueError(f"there is no config file {name}{hint}; shipped ones: {', '.join(ours)}")


def files_with(function: str, folder: Path) -> list[Path]:
    files = sorted(file for file in folder.glob("*.py") if file.is_file())
    return [file for file in files if f"def {function}(" in file.read_text("utf-8", "replace")]


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Puts a folder and the working directory before all other places of modules."""
    places, before = [str(folder), os.getcwd()], set(sys.modules)
    sys.path[:0] = places
    try:
        yield
    finally:
        for place in places:
            sys.path.remove(place)
        # The next config file may have another `base.py` beside it.
        for name in sys.modules.keys() - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "").parent == folder:
                del sys.modules[name]


def _explain(error: ImportError, file: Path) -> str:
    """One sentence about an import that failed while `file` was run."""
    frames = traceback.extract_tb(error.__traceback__)
    place = [frame for frame in frames if Path(frame.filename).is_file()][-1]
    where = (
        f"{file if Path(place.filename).samefile(file) else place.filename}, line {place.lineno}"
    )
    if today := spelling_of_today(Path(place.filename), place.lineno, error):
        old, new = today
        return f"{where}: write `{new}`, not `{old}`"
    return f"{where}: {str(error)[:1].lower()}{str(error)[1:]}"

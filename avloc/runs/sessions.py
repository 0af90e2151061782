"""By what a run was trained, and when: `sessions.json`, an entry each time training goes on."""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flax
import jax

import avloc
from avloc.machine.stopping import Interrupted
from avloc.runs.folder import RunFolder, write_atomically
from avloc.runs.recorded import read_sessions
from avloc.runs.unwritable import writing
from avloc.types import Phase

SESSIONS = "sessions.json"


@contextlib.contextmanager
def session(run: RunFolder, title: str, phases: Sequence[Phase], step: int) -> Iterator[None]:
    """Notes a stretch of training in the run's folder: its start at once, its end when it ends.

    Of several processes the first one writes. A stretch that was killed has no `ended`; the next
    one notes when it was `last_seen`.

    Args:
      run: its folder.
      title: of its method.
      phases: all of training.
      step: optimizer steps taken before.
    """
    before = _closed(_read(run), run.epochs())
    entry = {
        "avloc": avloc.__version__,
        **_commit(Path(avloc.__file__).parents[1]),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "flax": flax.__version__,
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "title": title,
        "phases": [
            {"name": phase.name, "epochs": phase.epochs, "stage": phase.checkpoint_name}
            for phase in phases
        ],
        "step": step,
        "started": _now(),
    }
    with writing(run.path / SESSIONS):
        _write(run, [*before, entry])
    end = "failed"
    try:
        yield
        end = "finished"
    except (KeyboardInterrupt, Interrupted):
        end = "stopped"
        raise
    finally:
        # Where the disk is full, what ended the training says so.
        with contextlib.suppress(OSError):
            _write(run, [*before, {**entry, "ended": _now(), "end": end}])


def _read(run: RunFolder) -> list[dict[str, Any]]:
    file = run.path / SESSIONS
    if not file.is_file():
        return []
    try:
        return read_sessions(file)
    except ValueError:
        raise ValueError(
            f"{file} is damaged: restore it, or remove it: only who trained the run when is lost"
        ) from None


def _closed(entries: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries; if the last one was killed, with the time of its last epoch."""
    if not entries or "ended" in entries[-1] or not rows or "time" not in rows[-1]:
        return entries
    seen = datetime.fromtimestamp(rows[-1]["time"], UTC).isoformat(timespec="seconds")
    return [*entries[:-1], {**entries[-1], "last_seen": max(seen, entries[-1]["started"])}]


def _write(run: RunFolder, entries: list[dict[str, Any]]) -> None:
    write_atomically(run.path / SESSIONS, json.dumps(entries, indent=2) + "\n")


def _commit(root: Path) -> dict[str, Any]:
    """The commit of the checkout that avloc runs from, and whether files differ from it."""
    nothing = {"commit": None, "changed": None}
    if not (root / ".git").exists():
        return nothing

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return nothing


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

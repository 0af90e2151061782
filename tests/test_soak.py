"""The script that injects faults: it refuses a strange folder, and tables what it did."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def soak(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "scripts/soak.py", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("")
    done = soak("--workdir", tmp_path)
    assert done.returncode == 2 and "contains something else" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_two_minutes(tmp_path):
    done = soak("--workdir", tmp_path, "--minutes", 2, "--seed", 3)
    assert done.returncode == 0, done.stdout
    rows = re.findall(r"^(\S.*?)\s{2,}(\d+)\s+(\d+)$", done.stdout, re.MULTILINE)
    counts = {what: (int(injected), int(survived)) for what, injected, survived in rows}
    assert len(counts) == 11 and sum(injected for injected, _ in counts.values()) > 2
    assert all(injected == survived for injected, survived in counts.values())

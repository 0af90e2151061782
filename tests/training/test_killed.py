"""Processes that are killed, and what they leave: the next one ends as if nothing had been."""

import json
import multiprocessing
import random
import signal
import subprocess
import time

import numpy as np
import pytest

from avloc.runs.folder import RunFolder
from tests.training.line import settings
from tests.training.mortal import Fault, start


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(folder, cache, fault=None, turns=2) -> multiprocessing.Process:
    folder.mkdir(exist_ok=True)
    process = start(folder, cache, fault, turns)
    process.join(120)
    return process


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    """A folder with a run that nothing befell."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, cache).exitcode == 0, (folder / "said").read_text()
    return folder


def files(folder):
    """Names in a run's folder; those that Orbax and TensorBoard make up are left out."""
    made_up = ("checkpoints", "tensorboard")
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {str(path) for path in found if path.parts[0] not in made_up and len(path.parts) < 3}


def history(folder):
    rows = map(json.loads, (folder / "train.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in ("time", "seconds")} for row in rows]


def assert_same_end(folder, whole):
    ends = [np.load(place / "end.npz") for place in (folder, whole)]
    assert set(ends[0]) == set(ends[1])
    for name in ends[0]:
        np.testing.assert_array_equal(ends[0][name], ends[1][name], err_msg=name)
    ours, theirs = folder / "run", whole / "run"
    assert history(ours) == history(theirs)
    assert files(ours) == files(theirs)
    for name in ("config.json", "data.json", "parameters.txt", "stages/stage_two/digest"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    assert len(list((ours / "tensorboard").iterdir())) == 1
    leftovers = [path for path in (ours / "checkpoints").iterdir() if not path.name.isdigit()]
    assert leftovers == []


def test_killed_in_a_step_a_refresh_and_a_write(tmp_path, whole, cache):
    for fault in (Fault("step", 7), Fault("refresh", 1), Fault("write", 2)):
        process = run(tmp_path, cache, fault)
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert any("tmp" in path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    process = run(tmp_path, cache)
    assert process.exitcode == 0, (tmp_path / "said").read_text()
    assert (tmp_path / "said").read_text().count("resuming") == 3
    assert_same_end(tmp_path, whole)


@pytest.mark.slow
def test_killed_at_twenty_moments(tmp_path, cache):
    """Of one run; each process is killed somewhere else, in turn by each of four kinds."""
    (tmp_path / "whole").mkdir()
    begun = time.monotonic()
    assert run(tmp_path / "whole", cache, turns=6).exitcode == 0
    seconds = time.monotonic() - begun
    rng = random.Random(5)
    kinds = {
        "step": lambda: rng.randint(2, 5),
        "refresh": lambda: 1,
        "write": lambda: rng.randint(1, 4),
        "seconds": lambda: rng.uniform(0.1, seconds / 3),
    }
    killed = 0
    while killed < 20:
        what = list(kinds)[killed % len(kinds)]
        process = run(tmp_path / "run", cache, Fault(what, kinds[what]()), turns=6)
        assert process.exitcode in (-signal.SIGKILL, 0), (tmp_path / "run" / "said").read_text()
        killed += process.exitcode != 0
        if process.exitcode == 0:  # it came to its end: another run takes the rest of the moments
            assert_same_end(tmp_path / "run", tmp_path / "whole")
            (tmp_path / "run").rename(tmp_path / f"run_{killed}")
    assert run(tmp_path / "run", cache, turns=6).exitcode == 0
    assert_same_end(tmp_path / "run", tmp_path / "whole")


def test_files_that_cannot_be_written_to_their_end(tmp_path, whole, cache):
    """As on a full disk; the limit is the system's own, on this process."""
    process = run(tmp_path, cache, Fault("refresh", 2, None))
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 1
    assert f"{tmp_path}/run/checkpoints cannot be written (file too large): fix that" in said
    assert run(tmp_path, cache).exitcode == 0, said
    assert "damaged" not in (tmp_path / "said").read_text()
    assert_same_end(tmp_path, whole)


@pytest.fixture
def disk(tmp_path):
    """A folder whose `run` is a disk of 400 kB, and a function that changes that disk."""
    folder = tmp_path / "run"
    folder.mkdir()

    def mount(options, *more):
        command = ["mount", "-t", "tmpfs", "-o", options, *more, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if not mount("size=400k"):
        pytest.skip("only root may mount a disk; the test above does without")
    yield tmp_path, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_and_one_that_is_read_only(disk, whole, cache):
    folder, remount = disk
    process = run(folder, cache)
    said = (folder / "said").read_text()
    assert process.exitcode == 1
    assert f"{folder}/run/" in said and " cannot be written (no space left on device): fix" in said
    assert remount("size=400k,ro")
    with pytest.raises(ValueError, match=f"workdir {folder}/run cannot be written: Read-only file"):
        RunFolder(folder / "run").open_for_training(settings())
    assert remount("size=16m,rw")
    assert run(folder, cache).exitcode == 0
    assert "damaged" not in (folder / "said").read_text()
    assert_same_end(folder, whole)

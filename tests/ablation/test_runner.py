"""The runner, with runs that are a few lines of Python."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from avloc.ablation import runner
from avloc.ablation.declaration import Ablation, Cell, Shared
from avloc.ablation.grid import Grid, Run
from avloc.ablation.runner import seconds_of, train_all

WRITE = "pathlib.Path('metrics.json').write_text('{}')"


@pytest.fixture
def play(monkeypatch):
    """Sets what the run of each cell does in its folder; by default it finishes."""

    def set_scripts(scripts):
        def command(run, data_dir=None):
            body = scripts.get(run.name, WRITE)
            head = f"import os, pathlib, signal, sys, time; os.chdir({str(run.folder)!r}); "
            return [sys.executable, "-S", "-c", head + f"exec({body!r})"]

        monkeypatch.setattr(Run, "command", command)

    return set_scripts


def make_grid(tmp_path: Path, *names: str) -> Grid:
    shared = {"trunk": Shared("stage_one", {"stage_two.epochs": 0})}
    cells = {name: Cell({"clusters": 11 + n}, "trunk") for n, name in enumerate(names)}
    return Grid(Ablation("csol_toy.py", cells, shared=shared, seeds=(0,)), tmp_path)


def test_order_and_resumption(tmp_path, play, capfd):
    play({"a": f"print('begun'); {WRITE}"})
    grid = make_grid(tmp_path, "a", "b")
    assert train_all(grid.choose()) == {}
    said = capfd.readouterr().err
    assert [line.split("; see")[0] for line in said.splitlines()][::2] == [
        "[0/3] shared run trunk, seed 0: started",
        "[1/3] cell a, seed 0: started",
        "[2/3] cell b, seed 0: started",
    ]
    assert said.splitlines()[-1].startswith("[3/3] cell b, seed 0: done in ")
    assert (tmp_path / "a" / "seed_0" / "log.txt").read_text() == "begun\n"
    assert seconds_of(grid.cells["a"][0]) > 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert train_all(grid.choose()) == {} and capfd.readouterr().err == ""
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    # Of a cell that is not finished, the log goes on and the seconds add up.
    run = grid.cells["a"][0]
    (run.folder / "metrics.json").unlink()
    first = seconds_of(run)
    assert train_all(grid.choose()) == {}
    assert (run.folder / "log.txt").read_text() == "begun\nbegun\n"
    assert seconds_of(run) > first


def test_a_failing_cell_stops_no_other(tmp_path, play, capfd):
    play({"a": "print('a bar\\r40 %\\ravloc: error: no more disk'); sys.exit(2)"})
    grid = make_grid(tmp_path, "a", "b")
    failed = train_all(grid.choose())
    assert failed == {grid.cells["a"][0]: "avloc: error: no more disk"}
    assert grid.cells["b"][0].finished
    assert "(exit status 2): avloc: error: no more disk" in capfd.readouterr().err


def test_what_starts_from_a_failed_run_is_left_out(tmp_path, play, capfd):
    play({"trunk": "sys.exit(1)"})
    grid = make_grid(tmp_path, "a")
    failed = train_all(grid.choose())
    assert list(failed.values()) == [
        "its log is empty",
        "shared run trunk, seed 0, from which it starts, failed",
    ]
    assert not (tmp_path / "a").exists()


def test_a_run_that_ends_well_but_unscored_has_failed(tmp_path, play, capfd):
    play({"a": "print('scored nothing')"})
    grid = make_grid(tmp_path, "a")
    assert train_all(grid.choose()) == {grid.cells["a"][0]: "scored nothing"}


def test_several_at_once_each_on_its_share_of_the_cores(tmp_path, play, capfd, monkeypatch):
    # Each waits for the other, so both run at once.
    note = "pathlib.Path('cores').write_text(str(sorted(os.sched_getaffinity(0))))"
    wait = "\nwhile not pathlib.Path('../../{}/seed_0/cores').exists(): time.sleep(0.01)\n"
    play({a: note + wait.format(b) + WRITE for a, b in ("ab", "ba")})
    grid = make_grid(tmp_path, "a", "b")
    ours = sorted(os.sched_getaffinity(0))
    assert train_all(grid.choose(), jobs=2) == {}
    assert sorted(os.sched_getaffinity(0)) == ours
    shares = [json.loads((tmp_path / c / "seed_0" / "cores").read_text()) for c in "ab"]
    if len(ours) > 1:
        assert sorted(shares[0] + shares[1]) == ours
    else:
        assert shares == [ours, ours]


@pytest.mark.parametrize(
    "cores, count, shares",
    [
        ([0, 1, 2, 3, 4], 2, [{0, 1}, {2, 3, 4}]),
        ([2, 5, 7], 3, [{2}, {5}, {7}]),
        ([4, 6], 3, [{4}, {6}, {4}]),
        ([], 2, [set(), set()]),
    ],
)
def test_shares(cores, count, shares):
    assert [runner._share(cores, slot, count) for slot in range(count)] == shares


@pytest.fixture
def ctrl_c():
    """SIGINT as in the foreground: a shell starts background jobs deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_lets_the_runs_save_first(tmp_path, play, capfd, number):
    stop = "def stop(n, f): time.sleep(0.3); open('saved', 'w'); sys.exit(130)\n"
    run = "signal.signal(signal.SIGTERM, stop); open('ready', 'w')\ntime.sleep(60)"
    play({name: stop + run for name in "ab"})
    grid = make_grid(tmp_path, "a", "b", "c")
    grid.shared["trunk"][0].folder.mkdir(parents=True)
    (grid.shared["trunk"][0].folder / "metrics.json").touch()

    def interrupt():
        while not all((tmp_path / c / "seed_0" / "ready").exists() for c in "ab"):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train_all(grid.choose(), jobs=2)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert all((tmp_path / c / "seed_0" / "saved").exists() for c in "ab")
    assert not (tmp_path / "c").exists()
    assert json.loads((tmp_path / "a" / "seed_0" / "attempts.json").read_text())["status"] == 130
    assert "stopping 2 runs, which save first" in capfd.readouterr().err

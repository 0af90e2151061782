"""Several processes are one run: the same numbers, one writer, one moment to stop."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from avloc.machine import hosts
from avloc.runs.checkpoints import read_stage
from avloc.runs.folder import RunFolder
from avloc.training.methods import METHODS
from tests.command_line import CONFIG
from tests.machine import hosts_run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start(*words, devices: int = 2, **environment) -> subprocess.Popen:
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(processes: list[subprocess.Popen], status: int, of: int = 1) -> list[str]:
    """What each of them said once all have ended: on standard error, or (`of` 0) output."""
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [status] * len(processes), said
    return [each[of] for each in said]


def two(workdir, parallel="jit", ring=((), ()), status=0, of=1) -> list[str]:
    """Two processes of two devices each train in a folder."""
    shared = ("-m", "tests.machine.hosts_run", workdir, parallel, free_port(), 2)
    return end([start(*shared, process, *ring[process]) for process in range(2)], status, of)


def one(workdir, parallel="jit", ring=(), status=0) -> None:
    """This process trains, with its one device."""
    METHODS.pop("line", None)
    try:
        assert hosts_run.main(str(workdir), parallel, "", "1", "0", *ring) == status
    finally:
        METHODS.pop("line", None)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder in which one process trained to the end and scored."""
    folder = tmp_path_factory.mktemp("alone")
    one(folder)
    return folder


def assert_same(folder, alone, ends):
    expected = np.load(alone / "end_0.npz")
    assert int(expected["devices"]) == 1
    for name in ends:
        found = np.load(folder / name)
        assert int(found["devices"]) == 4 and set(found.files) == set(expected.files)
        for key in set(expected.files) - {"devices"}:
            limit = 1e-5 * max(np.abs(expected[key]).max(), 0.1)
            np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=limit, err_msg=key)
    close(history(folder), history(alone))
    close(*(json.loads((f / "metrics.json").read_text()) for f in (folder, alone)))
    files = [
        {re.sub(r"tfevents.*", "tfevents", str(path.relative_to(f))) for path in f.rglob("*")}
        for f in (folder / "evaluation", alone / "evaluation")
    ]
    assert files[0] == files[1] and len(files[0]) > 10
    assert len(list((folder / "tensorboard").iterdir())) == 1


def history(folder):
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("time", "seconds")} for row in rows]


def close(found, expected):
    """JSON that is equal but for rounding."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            close(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            close(a, b)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    else:
        assert found == expected


def test_two_then_one_then_two_processes_are_one_run(alone, tmp_path):
    """A signal to one process stops both at a step; any number of processes goes on from there."""
    said = two(tmp_path, ring=((), ("SIGTERM", "first")), status=hosts_run.STOPPED)
    # Sent after step 8, told at step 9, agreed on at step 10: in the middle of an epoch.
    assert all(re.search(r"^Preempted: stopped at step 10$", errors, re.M) for errors in said)
    assert not (tmp_path / "stages").exists()

    one(tmp_path, ring=("SIGINT", "second"), status=hosts_run.STOPPED)
    assert len(history(tmp_path)) == 4  # two epochs, the clusters and an epoch; then step 25

    # The first process alone tells of each epoch.
    first, second = two(tmp_path, of=0)
    assert ", took " in first and ", took " not in second
    assert_same(tmp_path, alone, ["end_0.npz", "end_1.npz"])
    texts = [(tmp_path / f"said_{process}").read_text() for process in range(2)]
    assert texts[0] == texts[1] and "after stage two" in texts[0]


@pytest.mark.slow
def test_pmap_over_two_processes(alone, tmp_path):
    two(tmp_path, "pmap")
    assert_same(tmp_path, alone, ["end_0.npz", "end_1.npz"])


# What is refused.

ASK = """
import sys
from avloc.machine import hosts
with hosts.joined(*{settings}, meeting={meeting}):
    {then}
"""


def ask(settings, then="pass", meeting=60, **environment) -> subprocess.Popen:
    return start("-c", ASK.format(settings=settings, then=then, meeting=meeting), **environment)


@pytest.mark.parametrize(
    "settings, sentence",
    [
        (("auto", "a:1", None, None), "--distributed auto asks the cluster: leave out --coord"),
        (("auto", None, None, 0), "leave out --process$"),
        ((None, "a:1", None, None), "--coordinator needs --processes and --process too"),
        ((None, None, 2, 0), "--processes and --process needs --coordinator too"),
        ((None, "a", 2, 0), "--coordinator is HOST:PORT, not 'a'"),
        ((None, "a:port", 2, 0), "--coordinator is HOST:PORT, not 'a:port'"),
        ((None, "a:1", 0, 0), "--processes is 1 or more, not 0"),
        ((None, "a:1", 2, 2), "--process is 0 to 1 of 2, not 2"),
        ((None, "a:1", 2, -1), "--process is 0 to 1 of 2, not -1"),
    ],
)
def test_settings_that_do_not_go_together(settings, sentence):
    with pytest.raises(ValueError, match=sentence), hosts.joined(*settings):
        pass


def test_nobody_listens_and_nobody_comes():
    port = free_port()
    where = f"localhost:{port}"
    sentence = f"nothing answers at --coordinator {where} within 0.5 s .*: start --process 0 on"
    with pytest.raises(hosts.Unmet, match=sentence), hosts.joined(None, where, 2, 1, meeting=0.5):
        pass
    process = ask((None, where, 2, 0), meeting=2)
    _, said = process.communicate(timeout=300)
    assert process.returncode
    assert said.splitlines()[0] == f"waiting for 2 processes to connect to {where}, at most 2 s"


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = rf"process 0 cannot listen at port {port} of --coordinator \(.* in use\)"
        where = f"localhost:{port}"
        with pytest.raises(hosts.Unmet, match=sentence), hosts.joined(None, where, 2, 0):
            pass


def test_no_cluster():
    outside = {name: "" for name in os.environ if name.startswith(("SLURM_", "OMPI_"))}
    [said] = end([ask(("auto", None, None, None), meeting=2, **outside)], 1)
    assert "no cluster that JAX knows was found" in said


def test_processes_that_slurm_started_speak_with_one_voice():
    """They find each other by its variables, and hear of each other's failures."""
    then = """
    import jax
    assert jax.process_count() == 2 and jax.device_count() == 4
    print("started")
    agree = hosts.Agreement()
    asked = [0, 15, 0] if jax.process_index() else [2, 0, 0]
    assert [agree(number) for number in asked] == [0, 2, 15]
    hosts.require_same("config", "a")
    try:
        hosts.require_same("config", str(jax.process_index()))
    except hosts.Unmet as error:
        print(error, file=sys.stderr)
    with hosts.together():
        pass
    with hosts.together():
        if jax.process_index():
            raise ValueError("nothing here")
"""
    job = str(os.getpid() * 7)  # the port follows from it
    slurm = {"SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    processes = [
        ask(
            ("auto", None, None, None),
            then,
            **slurm,
            SLURM_PROCID=str(process),
            SLURM_LOCALID=str(process),
        )
        for process in range(2)
    ]
    said = end(processes, 1)
    assert all("the processes of the run differ in their config" in errors for errors in said)
    assert "Unmet: process 1 failed: see its own message" in said[0]
    assert "ValueError: nothing here" in said[1]


# The whole of it, by the command line.


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_csol_by_the_command_line(toy, tmp_path, parallel):
    data = ("--data-dir", Path(toy.builder.data_dir).parents[2])
    changes = ("model.blocks=(0, 0, 0, 1)", f"parallel={parallel}", "checkpoint_every=1")
    config = (*CONFIG, *(f"--config.{change}" for change in changes))

    def avloc(*words, processes=1, devices=4):
        by_hand = ("--coordinator", f"localhost:{free_port()}", "--processes", processes)
        return [
            start(
                "-m",
                "avloc",
                *words,
                *data,
                *((*by_hand, "--process", process) if processes > 1 else ()),
                devices=devices // processes,
            )
            for process in range(processes)
        ]

    def train(workdir, **how):
        return avloc("train", *config, "--workdir", workdir, **how)

    end(train(tmp_path / "alone", devices=1), 0)

    pair = train(tmp_path / "run", processes=2)
    kept = tmp_path / "run" / "checkpoints"
    while not any(path.name.isdigit() for path in kept.glob("*")):  # after its first steps
        assert pair[0].poll() is None
        time.sleep(0.01)
    pair[1].send_signal(signal.SIGTERM)
    said = end(pair, 0)
    assert all(re.search(r"avloc: stopped at step \d and saved", errors) for errors in said)
    assert not (tmp_path / "run" / "stages").exists()
    end(train(tmp_path / "run"), 0)

    runs = [RunFolder(tmp_path / name) for name in ("alone", "run")]
    for stage in ("stage_one", "stage_two"):
        expected, found = (read_stage(run.stages / stage) for run in runs)
        assert jax.tree.structure(expected) == jax.tree.structure(found)
        apart = np.concatenate(
            [
                np.abs(a - b).ravel() / max(np.abs(b).max(), 0.1)
                for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
            ]
        )
        # Adam divides a gradient by its size: where it is but rounding, whole steps differ, as they
        # do on one device when the last bit of a weight is changed.
        assert np.quantile(apart, 0.5) < 1e-5 and np.quantile(apart, 0.9) < 1e-4, stage
        np.testing.assert_array_equal(found["aux"]["labels"], expected["aux"]["labels"])
    assert [row["step"] for row in history(runs[1].path)] == [
        row["step"] for row in history(runs[0].path)
    ]

    # Two processes score what one has trained, and the first one reports.
    scored, report = (tmp_path / "run" / name for name in ("metrics.json", "report.html"))
    before = json.loads(scored.read_text())
    report.unlink()
    scored.unlink()
    end(train(tmp_path / "run", processes=2), 0)
    close(json.loads(scored.read_text()), before)
    assert report.read_text().count("<img") == 14
    asked = ("evaluate", "--workdir", tmp_path / "run", "--split", "test", "--stage", "stage_one")
    before = summary(tmp_path / "run")
    end(avloc(*asked, processes=2), 0)
    close(summary(tmp_path / "run"), before)


def summary(folder):
    [file] = (folder / "evaluation" / "test").glob("*/stage_one/metrics.json")
    return json.loads(file.read_text())

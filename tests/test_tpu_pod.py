"""`scripts/tpu_pod.sh` asks gcloud for what it should, and its workers do as they are told."""

import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "tpu_pod.sh"

# Notes its arguments; a command for workers runs here, in the folder of one.
GCLOUD = """#!/usr/bin/env bash
printf '%s\\0' "$@" >> "$CALLS"
printf '\\0' >> "$CALLS"
case " $* " in
  *" scp "*) cp -r -- "$5" "$WORKER/" 2>/dev/null || true ;;
  *" ssh "*) cd "$WORKER" && bash -c "${!#}" ;;
esac
"""
# What a worker has: each notes what it was called with.
NOTES = """#!/usr/bin/env bash
printf '%s' "$(basename "$0")" >> "$WORKER/done"
printf ' [%s]' "$@" >> "$WORKER/done"
printf '\\n' >> "$WORKER/done"
"""
AT = ["--zone", "us-east1-d"]


class Pod:
    def __init__(self, folder: Path):
        self.worker, self.calls_file = folder / "worker", folder / "calls"
        self.script = SCRIPT
        tools = folder / "tools"
        (self.worker / "env" / "bin").mkdir(parents=True)
        tools.mkdir()
        self.environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "CALLS": str(self.calls_file),
            "WORKER": str(self.worker),
            "TPU_NAME": "band",
            "ZONE": "us-east1-d",
        }
        self.put(tools / "gcloud", GCLOUD)
        for name in ("sudo", "pgrep", "pkill", "mountpoint"):
            self.put(tools / name, NOTES + ("exit 1\n" if name in ("pgrep", "mountpoint") else ""))
        for name in ("pip", "avloc", "python"):
            self.put(self.worker / "env" / "bin" / name, NOTES)

    @staticmethod
    def put(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def __call__(self, *words, status: int = 0, **settings) -> subprocess.CompletedProcess:
        made = subprocess.run(
            ["bash", self.script, *words],
            env=self.environment | settings,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert made.returncode == status, made.stderr
        return made

    def calls(self) -> list[list[str]]:
        if not self.calls_file.exists():
            return []
        return [call.split("\0") for call in self.calls_file.read_text().split("\0\0")[:-1]]

    def done(self) -> list[str]:
        return (self.worker / "done").read_text().splitlines()


@pytest.fixture
def pod(tmp_path) -> Pod:
    return Pod(tmp_path)


@pytest.mark.parametrize(
    "accelerator, runtime",
    [
        ("v4-32", "tpu-ubuntu2204-base"),
        ("v5litepod-16", "v2-alpha-tpuv5-lite"),
        ("v6e-16", "v2-alpha-tpuv6e"),
    ],
)
def test_create(pod, accelerator, runtime):
    pod("create", ACCELERATOR=accelerator)
    pod("create", ACCELERATOR=accelerator, SPOT="1", PROJECT="p", RUNTIME="mine")
    ask = ["compute", "tpus", "queued-resources", "create", "band"]
    kind = ["--node-id", "band", "--accelerator-type", accelerator, "--runtime-version"]
    assert pod.calls() == [
        [*ask, *AT, *kind, runtime],
        [*ask, *AT, "--project", "p", *kind, "mine", "--spot"],
    ]


def test_install_puts_the_last_commit_on_every_worker(pod):
    pod("install", SHARE="10.0.0.2:/our share")
    copy, shell = pod.calls()
    assert copy[:4] == ["compute", "tpus", "tpu-vm", "scp"] and copy[5] == "band:avloc.tar.gz"
    assert copy[6:] == [*AT, "--worker", "all"]
    assert shell[3:8] == ["ssh", "band", *AT, "--worker"] and shell[8] == "all"
    with tarfile.open(pod.worker / "avloc.tar.gz") as archive:
        names = archive.getnames()
    assert "avloc/setup.py" in names and not any("/.venv/" in name for name in names)
    assert (pod.worker / "avloc" / "avloc" / "cli.py").is_file()
    assert pod.done() == [
        "pip [install] [-q] [-c] [avloc/requirements/3.11.lock] [./avloc[tpu]]",
        "sudo [mkdir] [-p] [/mnt/avloc]",
        "mountpoint [-q] [/mnt/avloc]",
        "sudo [mount] [-t] [nfs] [10.0.0.2:/our share] [/mnt/avloc]",
        "sudo [chmod] [a+rwx] [/mnt/avloc]",
    ]
    assert not Path(copy[4]).exists()


def test_install_of_an_unpacked_sdist_takes_its_files(pod, tmp_path):
    unpacked = tmp_path / "avloc-0.1.0"
    for file in ("setup.py", "avloc/cli.py", ".venv/bin/python", "runs/demo/config.json"):
        (unpacked / file).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / file).write_text("")
    (unpacked / "scripts").mkdir()
    pod.script = shutil.copy(SCRIPT, unpacked / "scripts")
    pod("install")
    found = {str(f.relative_to(pod.worker)) for f in (pod.worker / "avloc").rglob("*.*")}
    assert found == {"avloc/setup.py", "avloc/avloc/cli.py", "avloc/scripts/tpu_pod.sh"}
    assert pod.done()[0].startswith("pip [install]")


def test_train_outlives_its_connection_and_keeps_its_words(pod):
    (pod.worker / "avloc").mkdir()
    pod("train", "--workdir", "/mnt/a b", "--config.clusters=$(5)")
    [call] = pod.calls()
    assert call[8] == "all"
    until = time.monotonic() + 30
    while len(pod.done()) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    looked, trained = pod.done()
    assert looked.startswith("pgrep [-f] [^")
    words = "[train] [--workdir] [/mnt/a b] [--config.clusters=$(5)] [--distributed] [auto]"
    assert trained == f"avloc {words}"
    assert (pod.worker / "avloc.log").exists()


def test_the_rest(pod, tmp_path):
    (pod.worker / "avloc.log").write_text("[1/4] localization\n")
    assert "[1/4] localization" in pod("status").stdout
    pod("stop")
    pod("fetch", "/mnt/avloc/runs/one", str(tmp_path / "here"))
    pod("delete")
    state, log, stop, fetch, delete = pod.calls()
    assert state[2:5] == ["queued-resources", "describe", "band"]
    assert log[7:9] == stop[7:9] == ["--worker", "0"]
    assert pod.done() == ["pkill [-TERM] [-f] [^[^ ]*python[^ ]* [^ ]*/avloc train]"]
    there, here = "band:/mnt/avloc/runs/one", str(tmp_path / "here")
    assert fetch[3:] == ["scp", "--recurse", there, here, *AT, "--worker", "0"]
    assert delete[2:] == ["queued-resources", "delete", "band", *AT, "--force", "--quiet"]


def test_a_dry_run_shows_and_does_nothing(pod):
    for words in (("create",), ("install",), ("train", "--workdir", "w"), ("delete",)):
        said = pod("--dry-run", *words, ACCELERATOR="v6e-8").stderr
        assert said.startswith("+ gcloud compute tpus ")
    assert pod.calls() == []


def test_what_is_refused(pod):
    for words, settings, sentence in (
        (("create",), {}, "set ACCELERATOR"),
        (("create",), {"ACCELERATOR": "v9-8"}, "ACCELERATOR is v4-N, v5litepod-N or v6e-N, not v9"),
        (("status",), {"ZONE": ""}, "set ZONE"),
        (("train",), {}, "train needs avloc's arguments"),
        (("fetch", "here"), {}, "fetch needs two folders"),
        (("destroy",), {}, "there is no command 'destroy'"),
        ((), {}, "there is no command ''"),
    ):
        assert sentence in pod(*words, status=2, **settings).stderr.splitlines()[-1]
    assert pod.calls() == []
    assert "usage:" in pod("--help").stdout

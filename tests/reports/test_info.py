"""What `avloc info` says of runs, finished or not, old or new, and of what is no run."""

import json
import shutil
import subprocess
import sys
import tarfile
from datetime import datetime
from pathlib import Path

import jax
import pytest

import avloc
from avloc.cli import main
from avloc.reports.info import in_a_sentence, info, text
from avloc.runs.weight_files import RECORD
from avloc.training.epoch import NonFiniteLoss
from tests.runs.old_scores import as_if_scored_today
from tests.training.line import Line, after, settings

REPOSITORY = Path(avloc.__file__).parents[1]


@pytest.fixture
def old(tmp_path) -> Path:
    """A finished run of before sessions were noted."""
    with tarfile.open(REPOSITORY / "tests/runs/run_of_0.1.0.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "run"


def sessions(folder):
    return json.loads((folder / "sessions.json").read_text())


def stop(bench, calls=8):
    with pytest.raises(Exception, match="stopped at step"):
        bench.train(stop=after(calls))
    return bench.run.path


def test_a_run_that_was_stopped_and_goes_on(bench):
    folder = stop(bench)
    facts = info(folder)
    assert facts["state"] == "stopped" and facts["stages"] == {
        "finished": [],
        "left": ["stage_one", "stage_two"],
    }
    assert facts["epochs"] == {"done": 2, "at_most": 5}
    assert f"next         avloc train --workdir {folder}" in text(facts)
    (first,) = sessions(folder)
    assert first["step"] == 0 and first["end"] == "stopped"
    assert first["avloc"] == avloc.__version__ and first["jax"] == jax.__version__
    assert len(first["devices"]) == jax.device_count() and first["processes"] == 1

    bench.train()
    assert sessions(folder)[0] == first
    second = sessions(folder)[1]
    assert facts["steps"] == 4 and second["step"] == 5  # stopped in the third epoch
    assert second["end"] == "finished"
    done = info(folder)
    assert done["state"] == "finished" and done["epochs"] == {"done": 5, "at_most": 5}
    assert done["stages"] == {"finished": ["stage_one", "stage_two"], "left": []}
    assert done["parameters"] == 6  # two vectors of three
    assert (done["method"], done["data"]["name"]) == ({"name": "line", "title": "LINE"}, "records")
    took = [datetime.fromisoformat(s["ended"]) - datetime.fromisoformat(s["started"])
            for s in sessions(folder)]  # fmt: skip
    assert done["training"]["seconds"] == sum(t.seconds for t in took)
    assert "in 2 sessions" in text(done) and "left: nothing" in text(done)
    assert in_a_sentence(done).count(f"avloc {avloc.__version__}") == 1

    bench.train()  # nothing is left to do
    assert len(sessions(folder)) == 2


def test_the_commit_is_that_of_the_checkout(bench):
    bench.train()
    (entry,) = sessions(bench.run.path)
    if not (REPOSITORY / ".git").exists():
        assert entry["commit"] is None
        return
    head = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    head = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    assert entry["commit"] == head and entry["changed"] in (True, False)
    assert f"commit {head[:12]}" in text(info(bench.run.path))


def test_a_killed_session_was_last_seen_at_its_last_epoch(bench):
    folder = stop(bench)
    (entry,) = sessions(folder)
    del entry["ended"], entry["end"]
    entry["started"] = "2020-01-01T00:00:00+00:00"
    (folder / "sessions.json").write_text(json.dumps([entry]))
    lines = (folder / "train.jsonl").read_text().splitlines()
    rows = [{**json.loads(line), "time": 1577836800.0 + 90} for line in lines]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    facts = info(folder)
    assert facts["state"] == "training now, or killed"
    assert facts["training"]["seconds"] == 90 and "1 min 30 s" in text(facts)
    bench.train()
    killed, last = sessions(folder)
    assert killed == {**entry, "last_seen": "2020-01-01T00:01:30+00:00"}
    assert last["end"] == "finished"


def test_a_session_that_failed(bench):
    class Poisoned(Line):
        def phases(self):
            for phase in super().phases():
                yield (
                    phase
                    if phase.name != "third"
                    else phase.__class__(
                        "third", "scenes", 1, "matching", self.poisoned, checkpoint_name="stage_two"
                    )
                )

    with pytest.raises(NonFiniteLoss):
        bench.train(method=Poisoned)
    facts = info(bench.run.path)
    assert facts["state"] == "failed" and facts["stages"]["left"] == ["stage_two"]


def test_what_sessions_note_changes_no_result(bench):
    whole = jax.tree.leaves(bench.train("whole"))
    stop(bench)
    (bench.run.path / "sessions.json").unlink()  # as of an earlier version
    parts = jax.tree.leaves(bench.train())
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))
    facts = info(bench.run.path)
    assert facts["training"]["before_records"] and facts["epochs"]["done"] == 5
    assert f"trained by   unknown; then avloc {avloc.__version__}" in text(facts)


def test_a_damaged_record_is_named(bench):
    folder = stop(bench)
    (folder / "sessions.json").write_text("[{")
    assert info(folder)["sessions"] == []
    with pytest.raises(ValueError, match=r"sessions.json is damaged: restore it, or remove it"):
        bench.train()


def test_an_old_run(old, capsys):
    assert main(["info", str(old), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == info(old)
    assert facts["method"] == {"name": "csol", "title": "CSOL"}
    assert facts["data"]["name"] == "toy_orchestra/tiny/1.3.0" and facts["data"]["there"] is False
    assert facts["stages"] == {"finished": ["stage_two"], "left": None}
    assert facts["sessions"] == [] and facts["state"] is facts["parameters"] is None
    assert facts["epochs"] == {"done": 3, "at_most": None} and facts["steps"] == 18
    assert facts["training"]["seconds"] == 96  # 39.44 + 23.3 + 33.48
    assert facts["scores"]["test"]["CSOL after stage two"]["IoU@0.5"] == 12.5
    assert main(["info", str(old)]) == 0
    said = capsys.readouterr().out
    for line in (
        "method       CSOL (config.method is csol)",
        "stages       stage_two finished; left: unknown",
        "trained by   unknown",
        "parameters   unknown",
        "when         2026-11-27 18:26 to 2026-11-27 18:29 UTC, 1 min 36 s",
    ):
        assert line in said.splitlines(), said
    assert "test: IoU@0.5 12.5, AUC 42.5" in said
    assert in_a_sentence(facts) == ""


def test_the_report_says_by_what_it_was_trained(old):
    entry = {
        "avloc": "0.1.7",
        "commit": "0123456789abcdef",
        "changed": True,
        "python": "3.12.1",
        "jax": "0.10.1",
        "flax": "0.12.3",
        "devices": ["TPU v4"] * 8,
        "processes": 2,
        "title": "CSOL",
        "phases": [{"name": "matching", "epochs": 1, "stage": "stage_two"}],
        "step": 0,
        "started": "2026-11-27T18:00:00+00:00",
        "ended": "2026-11-27T20:03:00+00:00",
        "end": "finished",
    }
    (old / "sessions.json").write_text(json.dumps([entry]))
    (old / "parameters.txt").write_text("| a |\nTotal: 12,345 -- 49,380 bytes\n")
    as_if_scored_today(old)
    assert main(["report", "--workdir", str(old)]) == 0
    sentence = (
        "Trained by avloc 0.1.7, commit 0123456789ab with changes, Python 3.12.1, JAX 0.10.1, "
        "Flax 0.12.3; on 8 x TPU v4 in 2 processes; 2026-11-27 18:00 to 2026-11-27 20:03 UTC, "
        "2 h 3 min; 12,345 parameters."
    )
    assert sentence in (old / "report.html").read_text()


def test_a_run_that_has_only_begun(old, capsys):
    for file in old.iterdir():
        if file.name != "config.json":
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    (old / "train.jsonl").write_text('{"phase": "locali')  # broken off
    assert main(["info", str(old)]) == 0
    said = capsys.readouterr().out
    assert "stages       none finished; left: unknown" in said and "scores       none yet" in said
    assert said.endswith(f"next         avloc train --workdir {old}\n")


def test_it_needs_no_jax(old):
    code = (
        "import sys; from avloc.cli import main; main(['info', sys.argv[1]]); "
        "print(sorted({'jax', 'numpy', 'tensorflow_datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, old], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done


def write(file, content=""):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def test_what_is_no_run_is_named(tmp_path, fails, old):
    write(tmp_path / "export" / "model.json", {"format": "avloc export"})
    about = {"name": "toy_orchestra", "configName": "tiny"}
    data = tmp_path / "data" / "toy_orchestra" / "tiny" / "1.3.0"
    write(data / "dataset_info.json", about)
    write(tmp_path / "weights" / RECORD, {})
    (tmp_path / "weights" / "weights").mkdir()
    write(tmp_path / "other" / "config.json", {"model_type": "bert"})
    write(tmp_path / "broken" / "config.json", '{"method": ')
    (tmp_path / "empty").mkdir()
    doctor = f"type `avloc data doctor toy_orchestra/tiny --data-dir {tmp_path / 'data'}`"
    for path, sentence in (
        ("export", f"is an exported model, not a run: read {tmp_path / 'export' / 'README.md'}"),
        ("data/toy_orchestra/tiny/1.3.0", doctor),
        ("data/toy_orchestra", doctor),
        ("data", f"holds data sets, not a run: type `avloc data list --data-dir {tmp_path}/data`"),
        ("weights", f"--config.init_from={tmp_path / 'weights'}`"),
        ("other", "is no config of avloc (it lacks method or data.name)"),
        ("broken", "is damaged (not JSON (Expecting value"),
        ("empty", "holds no run (no config.json): name the --workdir"),
        ("nowhere", "no such folder"),
        ("run/stages/stage_two", f"lies inside a run: type `avloc info {old}`"),
        ("run/train.jsonl", f"lies inside a run: type `avloc info {old}`"),
        ("export/model.json", "is a file"),
        (".", f"is no run but holds 1: name one, as `avloc info {old}`"),
    ):
        assert sentence in fails("info", tmp_path / path), path


def test_the_record_of_a_run_by_init_from_starts_at_its_first_phase(bench):
    bench.train("first")
    start = bench.run.path / "stages" / "stage_one"
    bench.train("second", config=settings(init_from=str(start)))
    facts = info(bench.run.path)
    assert facts["stages"] == {"finished": ["stage_two"], "left": []}
    assert facts["epochs"] == {"done": 1, "at_most": 1}

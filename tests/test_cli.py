"""The commands, end to end at a tiny size."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

from avloc.cli import main
from tests.command_line import command, contents, train
from tests.videos import write_video


def test_training_ends_with_scores_and_a_report(place):
    run, said = place / "run", (place / "said").read_text()
    for row in (
        "CSOL after stage two",
        "CSOL after stage one alone",
        "untrained network",
        "centred box",
        "random map",
        "ceiling",
    ):
        assert said.count(f"| {row} ") == 3  # single sources; places and hearing in scenes
    for path in (run / "stages", run / "metrics.json", run / "report.html"):
        assert said.splitlines().count(f"{said_name(path):12} {path}") == 1
    summary = json.loads((run / "metrics.json").read_text())
    assert set(summary["splits"]) == {"test", "cocktail_test"} and summary["left_out"] == {}
    assert sorted(json.loads((run / "categories.json").read_text())["of_cluster"]) == list(
        range(10)
    )
    page = (run / "report.html").read_text()
    assert page.count("<img") == 14 and "CSOL after stage two" in page and "NMI" in page


def said_name(path: Path) -> str:
    return {"stages": "checkpoints", "metrics.json": "scores", "report.html": "report"}[path.name]


def test_data_list(place, capsys):
    assert main(["data", "list", "--data-dir", str(place / "data")]) == 0
    said = capsys.readouterr().out
    assert "train 64" in said and "avloc data build toy_orchestra/default" in said


def test_evaluate_one_stage_where_the_data_lay_in_training(place, capsys, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    before = (place / "run" / "metrics.json").read_bytes()
    asked = ("--split", "validation", "--protocol", "half-maximum", "--stage", "stage_one")
    assert main(["evaluate", "--workdir", str(place / "run"), *asked]) == 0
    said = capsys.readouterr().out
    assert "half-maximum" in said and "CSOL after stage one alone" in said
    assert "after stage two" not in said
    folder = place / "run" / "evaluation" / "validation" / "half-maximum" / "stage_one"
    with (folder / "items.csv").open() as file:
        assert [int(row["index"]) for row in csv.DictReader(file)] == list(range(16))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["evaluated"] == 16 and set(metrics["metrics"]) >= {"IoU@0.5", "AUC", "NMI"}
    assert (place / "run" / "metrics.json").read_bytes() == before


def test_localize_a_video(place, tmp_path, capsys):
    video = write_video(tmp_path / "band.mp4", seconds=2.0)
    out = tmp_path / "out"
    asked = ("--video", str(video), "--out", str(out))
    assert main(["localize", "--workdir", str(place / "run"), *asked]) == 0
    assert str(out / "band.localized.mp4") in capsys.readouterr().out
    record = json.loads((out / "localization.json").read_text())
    assert [second["second"] for second in record["seconds"]] == [0, 1]
    assert "xylophone" in record["names"]
    with av.open(str(out / "band.localized.mp4")) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 50


def test_localize_an_image(place, tmp_path):
    image, sound = tmp_path / "band.png", write_video(tmp_path / "band.mp4", seconds=1.0)
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(image)
    asked = ("--image", str(image), "--audio", str(sound), "--out", str(tmp_path / "out"))
    assert main(["localize", "--workdir", str(place / "run"), *asked]) == 0
    assert (tmp_path / "out" / "band.localized.png").is_file()
    record = json.loads((tmp_path / "out" / "localization.json").read_text())
    assert len(record["classes"]) == 10


def test_an_export_says_how_good_it_is(place, tmp_path, capsys):
    out = tmp_path / "exported"
    assert main(["export", "--checkpoint", str(place / "run"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"exported     {out}\nnext  ")
    text = (out / "README.md").read_text()
    for words in (
        'the row "CSOL after stage two"',
        "| CSOL after stage two ",
        "| untrained network ",
        "| centred box ",
        "dsol-synthetic (version",
        "16 of 16 evaluated",
    ):
        assert words in text, words
    about = json.loads((out / "model.json").read_text())
    assert about["metrics"] == json.loads((place / "run" / "metrics.json").read_text())
    recorded = json.loads((place / "run" / "data.json").read_text())
    assert about["data"]["fingerprint"] == recorded["fingerprint"] and recorded["fingerprint"]


def test_report_again(place, copy):
    before = contents(copy)
    (copy / "report.html").unlink()
    asked = ["report", "--workdir", str(copy), "--data-dir", str(place / "data")]
    assert main(asked) == 0
    page = (copy / "report.html").read_text()
    assert page.count("<img") == 14 and "CSOL after stage two" in page
    report = str(copy / "report.html")
    assert contents(copy) | {report: 0} == before | {report: 0}
    # Without the data there is still what was stored.
    assert main([*asked[:-1], str(copy / "nowhere")]) == 0
    page = (copy / "report.html").read_text()
    assert "<img" not in page and "is not built in" in page and "CSOL after stage two" in page


def test_interrupted_training_goes_on_as_if_it_never_stopped(place, tmp_path):
    arguments = train(tmp_path / "run", place)
    process = command(*arguments, cache=place / "cache")
    # Written just before the first epoch: from here on, a signal is a wish to stop.
    while not (tmp_path / "run" / "parameters.txt").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # the machine is taken away
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    last = errors.splitlines()[-1]
    found = re.fullmatch(
        r"avloc: stopped at step (\d) and saved; the same command goes on from there", last
    )
    assert found and 0 < int(found[1]) < 8, last
    assert not (tmp_path / "run" / "stages").exists()

    process = command(*arguments, cache=place / "cache")
    while not (tmp_path / "run" / "evaluation").is_dir():  # it is trained, and scored
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate()
    assert process.returncode == 130 and "resuming" in said + errors
    last = errors.splitlines()[-1]
    assert last == (
        "avloc: stopped while scoring, training is done; the same command goes on from there"
    )

    process = command(*arguments, cache=place / "cache")
    said, errors = process.communicate()
    assert process.returncode == 0 and "resuming" in said + errors
    for name in ("metrics.json", "categories.json"):
        ours, theirs = ((folder / "run" / name).read_bytes() for folder in (tmp_path, place))
        assert ours == theirs
    with ocp.StandardCheckpointer() as checkpointer:
        ours, theirs = (
            checkpointer.restore(folder / "run" / "stages" / "stage_two")
            for folder in (tmp_path, place)
        )
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, ours, theirs)))
    epochs = [
        [
            {k: v for k, v in json.loads(line).items() if k not in ("time", "seconds")}
            for line in (folder / "run" / "train.jsonl").read_text().splitlines()
        ]
        for folder in (tmp_path, place)
    ]
    assert epochs[0] == epochs[1]


def test_sigterm_while_a_run_is_scored(place, copy, monkeypatch, capsys):
    monkeypatch.setattr("avloc.training.loop.train", lambda config, run, data: None)
    monkeypatch.setattr(
        "avloc.scoring.run.Scorer.score", lambda self: signal.raise_signal(signal.SIGTERM)
    )
    assert main([str(a) for a in train(copy, place)]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        "avloc: stopped while scoring, training is done; the same command goes on from there"
    )


def test_stage_two_from_the_stage_one_of_another_run(place, tmp_path):
    stage, run = place / "run" / "stages" / "stage_one", tmp_path / "run"
    arguments = train(run, place, f"--config.init_from={stage}", "--config.seed=1")
    process = command(*arguments, cache=place / "cache")
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    assert f"starting after {stage}\n" in said + errors
    assert [path.name for path in (run / "stages").iterdir()] == ["stage_two"]
    rows = [json.loads(line)["phase"] for line in (run / "train.jsonl").read_text().splitlines()]
    assert rows == ["matching"]
    for rows in json.loads((run / "metrics.json").read_text())["splits"].values():
        networks = [row for row in rows if row.startswith(("CSOL", "untrained"))]
        assert networks == ["CSOL after stage two", "untrained network"]
    assert (run / "report.html").is_file()


def test_gaps_and_noise_are_in_training_only(place, tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr("avloc.training.loop.train", lambda c, r, data: given.update(trained=data))
    monkeypatch.setattr("avloc.verbs.training._score", lambda run, data: given.update(scored=data))
    asked = ("--config.data.missing_categories=3", "--config.data.noise=0.25")
    assert main([str(a) for a in train(tmp_path / "run", place, *asked)]) == 0
    truth = given["scored"].labels("train")
    assert len(truth) == 64 == given["scored"].info.num_examples["train"]
    kept = int((truth < 7).sum())
    source = given["trained"].source("train")
    assert len(source) == kept == given["trained"].info.num_examples["train"] < 64
    scenes = sum(len(source[i]["objects"]["label"]) > 1 for i in range(kept))
    assert scenes == round(kept / 4)
    assert main([str(a) for a in train(tmp_path / "clean", place)]) == 0
    assert given["trained"] is given["scored"]


def test_help_fits_a_screen_and_needs_no_library(capsys):
    code = "import sys; from avloc.cli import main; main(['--help'])"
    check = "; assert not {'jax', 'numpy', 'av', 'tensorflow_datasets'} & set(sys.modules)"
    for verb in (
        [],
        ["data"],
        ["data", "build"],
        ["train"],
        ["evaluate"],
        ["score"],
        ["localize"],
        ["export"],
        ["report"],
    ):
        with pytest.raises(SystemExit) as leaving:
            main([*verb, "--help"])
        assert leaving.value.code == 0
        assert len(capsys.readouterr().out.splitlines()) <= 24
    code = f"import sys, contextlib\nwith contextlib.suppress(SystemExit): {code[12:]}\n{check[2:]}"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

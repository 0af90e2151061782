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
from tests.videos import damage, write_video


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
    said = capsys.readouterr().out
    assert said.startswith(
        f"drawn        {out / 'band.localized.mp4'}\n"
        f"in numbers   {out / 'band.localization.json'}\n"
    )
    record = json.loads((out / "band.localization.json").read_text())
    sounding = {
        found["name"]
        for second in record["seconds"]
        for found in second["classes"]
        if found["state"] == "sounding"
    }
    rows = [line.split()[1] for line in said.splitlines() if line.startswith("| ")]
    assert set(rows[2:]) == sounding
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
    record = json.loads((tmp_path / "out" / "band.localization.json").read_text())
    assert len(record["classes"]) == 10


@pytest.fixture
def localized(place, tmp_path, capsys):
    """What `avloc localize` gave as exit status, and said."""

    def run(*words):
        asked = ["localize", "--workdir", str(place / "run"), "--out", str(tmp_path / "out")]
        status = main([*asked, *map(str, words)])
        return status, *capsys.readouterr()

    return run


def test_the_threshold_decides_what_sounds(localized, tmp_path):
    video = write_video(tmp_path / "band.mp4", seconds=1.0)
    status, said, _ = localized("--video", video, "--threshold", "0")
    record = json.loads((tmp_path / "out" / "band.localization.json").read_text())
    assert status == 0 and record["threshold"] == 0
    assert {c["state"] for s in record["seconds"] for c in s["classes"]} == {"sounding"}
    rows = [line.split() for line in said.splitlines() if "0:00-0:01" in line]
    assert sorted(row[1] for row in rows) == sorted(record["names"])
    assert all(row[3] == "1" for row in rows)
    status, said, _ = localized("--video", video, "--threshold", "1")
    record = json.loads((tmp_path / "out" / "band.localization.json").read_text())
    assert {c["state"] for s in record["seconds"] for c in s["classes"]} == {"silent"}
    assert status == 0 and "nothing reaches the threshold of 1" in said
    status, _, error = localized("--video", video, "--threshold", "20")
    assert (status, error) == (2, "avloc: error: the threshold must be between 0 and 1, not 20.0\n")


def test_localize_a_folder_and_a_file(localized, tmp_path):
    folder = tmp_path / "videos"
    (folder / "bell").mkdir(parents=True)
    write_video(folder / "a.mp4", seconds=1.0)
    damage(write_video(folder / "bell" / "b.mp4", seconds=6.0), 0.5)
    (folder / "bell" / "text.mp4").write_text("no video")
    write_video(folder / "mute.mkv", seconds=1.0, sound=False)
    (folder / "notes.txt").write_text("no video either")
    alone = write_video(tmp_path / "c.webm", seconds=1.0)
    status, said, told = localized("--video", folder, alone)
    assert status == 0
    out = tmp_path / "out"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        f"{name}.{ending}"
        for name in ("a", "bell/b", "c")
        for ending in ("localization.json", "localized.mp4")
    ]
    lines = said.splitlines()
    assert lines[0] == f"drawn        {out} (3 of 5 videos)"
    assert lines[1].startswith("damaged      bell/b: damaged at second ")
    assert lines[2].startswith(f"skipped      {folder / 'bell' / 'text.mp4'}: ")
    assert lines[3] == f"skipped      {folder / 'mute.mkv'}: no sound track"
    assert f"skipped {folder / 'mute.mkv'}: no sound track" in told  # at once, too
    for name in ("a", "bell/b", "c"):
        record = json.loads((out / f"{name}.localization.json").read_text())
        (row,) = (line for line in lines if line.startswith(f"| {name} "))
        assert row.split("|")[2].strip() == str(len(record["seconds"]))
    # Once more: what was drawn is not taken for a video of the user's.
    status, _, error = localized("--video", out)
    assert (status, error) == (2, f"avloc: error: {out}: no video in this folder\n")


def test_localize_videos_of_which_none_can_be_used(localized, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("no video")
    status, _, error = localized("--video", tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert status == 2
    last = error.splitlines()[-1]
    assert last.startswith("avloc: error: none of the 2 videos can be used: ")
    assert "a.mp4: " in last and "b.mp4: " in last and not (tmp_path / "out").exists()


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
    # It localizes, and is not to be exported again.
    video = write_video(tmp_path / "band.mp4", seconds=1.0)
    asked = ["--video", str(video), "--out", str(tmp_path / "found")]
    assert main(["localize", "--workdir", str(out), *asked]) == 0
    assert "next  " not in capsys.readouterr().out
    assert (tmp_path / "found" / "band.localized.mp4").is_file()
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
    process = command(*arguments)
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

    process = command(*arguments)
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

    process = command(*arguments)
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
    process = command(*arguments)
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

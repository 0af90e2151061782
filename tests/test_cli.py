"""The commands, end to end at a tiny size, and what they say of bad input."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import av
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

from avloc.cli import main
from tests.videos import write_video

CONFIG = (
    "--config=csol_toy.py",
    "--config.data.name=toy_orchestra/tiny",
    "--config.batch_size=8",
    "--config.image_size=32",
    "--config.model.width=4",
    "--config.stage_one.warmup_epochs=0",
    "--config.stage_one.epochs=1",
    "--config.stage_two.epochs=1",
    "--config.clusters=10",
)


def command(*arguments, cache: Path) -> subprocess.Popen:
    """`avloc ...` in a process of its own, compiled in haste and once for all runs."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "avloc", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the data set in `data`, a finished run in `run` and what it said in `said`."""
    place = tmp_path_factory.mktemp("cli")
    data = ("--data-dir", place / "data")
    for arguments in (
        ("data", "build", "toy_orchestra/tiny", *data),
        ("train", *CONFIG, "--workdir", place / "run", *data),
    ):
        process = command(*arguments, cache=place / "cache")
        said, errors = process.communicate()
        assert process.returncode == 0, errors
    (place / "said").write_text(said)
    return place


@pytest.fixture
def fails(capsys):
    """Runs a command that is refused; gives its sentence."""

    def run(*arguments):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("avloc: error: "), lines
        return lines[0].removeprefix("avloc: error: ")

    return run


@pytest.fixture
def copy(place, tmp_path) -> Path:
    """A copy of the finished run, to be spoilt."""
    return shutil.copytree(place / "run", tmp_path / "run")


def train(workdir, place, *more):
    return ("train", *CONFIG, "--workdir", workdir, "--data-dir", place / "data", *more)


def contents(folder: Path) -> dict[str, int]:
    """Every file with the time of its last change."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path): path.stat().st_mtime_ns for path in files}


# What works.


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
        assert said.count(f"| {row} ") == 2
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
    # The bar of the first epoch: from here on, a signal is a wish to stop.
    seen = ""
    while "localization 1/1:   0%" not in seen:
        seen += (character := process.stderr.read(1))
        assert character, seen
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    last = errors.splitlines()[-1]
    assert last.startswith("avloc: stopped at step ") and "the same command goes on" in last
    assert 0 < int(last.split()[4].rstrip(";")) < 8
    assert not (tmp_path / "run" / "stages").exists()

    process = command(*arguments, cache=place / "cache")
    said, errors = process.communicate()
    assert process.returncode == 0 and "resuming" in said + errors
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


def test_help_fits_a_screen_and_needs_no_library(capsys):
    code = "import sys; from avloc.cli import main; main(['--help'])"
    check = "; assert not {'jax', 'numpy', 'av', 'tensorflow_datasets'} & set(sys.modules)"
    for verb in (
        [],
        ["data"],
        ["data", "build"],
        ["train"],
        ["evaluate"],
        ["localize"],
        ["report"],
    ):
        with pytest.raises(SystemExit) as leaving:
            main([*verb, "--help"])
        assert leaving.value.code == 0
        assert len(capsys.readouterr().out.splitlines()) <= 24
    code = f"import sys, contextlib\nwith contextlib.suppress(SystemExit): {code[12:]}\n{check[2:]}"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# Bad input.


def test_bad_config(place, tmp_path, fails):
    workdir = tmp_path / "run"
    for wrong, sentence in (
        (["--config.clusterz=12"], "there is no field config.clusterz; did you mean config.clust"),
        (["--config.clusters=many"], "config.clusters must be of type int, like 10, not 'many'"),
        (["--config.clusters"], "--config.clusters needs a value: --config.clusters=VALUE"),
        (["--config.clusters=9"], "config.clusters is 9, but toy_orchestra/tiny has 10 categories"),
        (["--config.method=cslo"], "config.method is one of"),
        (["--config.data.stage_two=duets"], "has no split 'duets'; it has cocktail_test"),
        (["--config.data.name=toy_orchestra"], "is not built in"),
        (["--config.data.name=orchestra"], "no data set is called 'orchestra'; there are toy_o"),
        (
            ["--config.batch_size=20"],
            "split cocktail_train holds 16 items, fewer than config.batch",
        ),
        (["--config.evaluation.scene_protocol=papre"], "there is no protocol 'papre'"),
        (["--config=nothing.py"], "there is no config file nothing.py; shipped ones: "),
    ):
        assert sentence in fails(*train(workdir, place, *wrong))
    assert "holds no run to go on with" in fails("train", "--workdir", workdir)
    assert list(tmp_path.iterdir()) == []


def test_wrong_words(fails, tmp_path):
    assert "invalid choice: 'trian' (choose from" in fails("trian")
    assert "invalid choice: 'bild'" in fails("data", "bild")
    assert "required: VERB" in fails()
    assert "required: --workdir" in fails("evaluate")
    assert "unrecognized arguments: --sharp" in fails("report", "--workdir", tmp_path, "--sharp")
    sentence = "--config.FIELD=VALUE goes with `avloc train` only"
    assert sentence in fails("report", "--workdir", tmp_path, "--config.seed=1")


def test_a_folder_without_a_video(tmp_path, fails):
    (tmp_path / "notes.txt").write_text("no video")
    asked = ("data", "build", "video_folder", "--source", tmp_path, "--data-dir", tmp_path / "data")
    assert "no video in this folder" in fails(*asked)
    assert not (tmp_path / "data").exists()
    assert "--source" in fails("data", "build", "video_folder", "--data-dir", tmp_path / "data")


def test_a_workdir_of_another_config(place, fails):
    before = contents(place / "run")
    sentence = fails(*train(place / "run", place, "--config.seed=1"))
    assert "holds a run of another config" in sentence
    assert "config.seed: 0 there, 1 here" in sentence
    assert contents(place / "run") == before


def test_evaluate_what_is_not_there(place, tmp_path, fails):
    before = contents(place / "run")
    asked = ("evaluate", "--workdir", place / "run", "--data-dir", place / "data")
    assert "has no split 'duets'" in fails(*asked, "--split", "duets")
    assert "choose one of paper-solo" in fails(*asked, "--protocol", "mine")
    assert "finished: stage_one, stage_two" in fails(*asked, "--stage", "stage_three")
    assert "holds no run" in fails("evaluate", "--workdir", tmp_path / "run")
    assert "holds no run" in fails("report", "--workdir", tmp_path / "run")
    assert contents(place / "run") == before and list(tmp_path.iterdir()) == []


def test_missing_and_damaged_checkpoints(place, copy, fails):
    for file in (copy / "stages" / "stage_two").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20])
    before = contents(copy)
    data = ("--data-dir", place / "data")
    assert "stage_two is damaged" in fails("evaluate", "--workdir", copy, *data)
    shutil.rmtree(copy / "stages")
    sentence = fails("evaluate", "--workdir", copy, *data)
    assert "has no finished stage yet: go on with `avloc train" in sentence
    assert contents(copy) == {k: v for k, v in before.items() if "/stages/" not in k}
    for file in (copy / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    process = command("train", "--workdir", copy, *data, cache=place / "cache")
    _, errors = process.communicate()
    assert process.returncode == 2
    assert "can be read: remove the workdir and train anew" in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_localize_bad_files(place, tmp_path, fails):
    text, image = tmp_path / "text.mp4", tmp_path / "image.png"
    text.write_text("this is no video")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(image)
    asked = ("localize", "--workdir", place / "run", "--out", tmp_path / "out")
    assert "not a video that can be read" in fails(*asked, "--video", text)
    assert "give either --video FILE, or --image" in fails(
        *asked, "--video", text, "--image", image
    )
    assert "give either --video FILE, or --image" in fails(*asked)
    assert "add --audio FILE" in fails(*asked, "--image", image)
    assert "a video brings its own sound" in fails(*asked, "--video", text, "--audio", text)
    assert "absent.mp4: no such file" in fails(*asked, "--video", tmp_path / "absent.mp4")
    assert "not sound that can be read" in fails(*asked, "--image", image, "--audio", text)
    assert "not an image that can be read" in fails(*asked, "--image", text, "--audio", text)
    assert not (tmp_path / "out").exists()


def test_debug_shows_where(tmp_path, capsys, monkeypatch):
    asked = ["report", "--workdir", str(tmp_path / "run")]
    assert main([*asked, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("AVLOC_DEBUG", "1")
    assert main(asked) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_keyboard_interrupt_anywhere(tmp_path, capsys, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("avloc.training.run_folder.RunFolder.config", stop)
    assert main(["evaluate", "--workdir", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "avloc: stopped; the same command starts again\n"

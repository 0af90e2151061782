"""What the commands say of bad input: one sentence, and nothing written."""

import json
import shutil

import numpy as np
import scipy.io.wavfile
from PIL import Image

from avloc.cli import main
from avloc.data_pipelines.dataset import Dataset
from tests.command_line import command, contents, train
from tests.inference.blobs import red_picture
from tests.videos import write_video


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
        (["--config.clusters=65"], "config.clusters is 65, but split train has 64 clips, of which"),
        (
            ["--config.stage_one.epochs=0"],
            "stage two needs what a stage one learnt: set config.init_from to RUN/stages/NAME of "
            "another run, or config.stage_one.epochs",
        ),
        (["--config.data.missing_categories=10"], "has 10 categories: leave out 0 to 9"),
        (
            ["--config.data.missing_categories=9"],
            "config.clusters is 10, but split train has 8 clips, of which each cluster needs",
        ),
        (["--config.on_nonfinite=hope"], "config.on_nonfinite is 'stop' or 'skip', not 'hope'"),
        (["--config.data.noise=1.5"], "config.data.noise is a share, 0 to 1, not 1.5"),
    ):
        assert sentence in fails(*train(workdir, place, *wrong))
    assert "holds no run to go on with" in fails("train", "--workdir", workdir)
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_will_not_do(place, tmp_path, copy, fails):
    stages, workdir = copy / "stages", tmp_path / "new"
    one = f"--config.init_from={stages / 'stage_one'}"
    for wrong, sentence in (
        ([f"--config.init_from={copy}"], "ends with no stage of csol: give RUN/stages/NAME with a"),
        ([f"--config.init_from={stages / 'stage_two'}"], "nothing is left to train"),
        ([one, "--config.stage_two.epochs=0"], "nothing is left to train"),
        ([f"--config.init_from={tmp_path / 'stage_one'}"], f"there is no {tmp_path / 'stage_one'}"),
        (
            [one, "--config.clusters=12"],
            f"config.init_from: aux/centroids is float32[10, 32] in {stages / 'stage_one'}, but "
            "float32[12, 32] here",
        ),
        ([one, "--config.data.missing_categories=1"], "aux/labels is int32[64] in"),
    ):
        assert sentence in fails(*train(workdir, place, *wrong))
    for file in (stages / "stage_one").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20])
    assert f"checkpoint {stages / 'stage_one'} is damaged" in fails(*train(workdir, place, one))
    assert not workdir.exists()


def test_wrong_words(fails, tmp_path):
    assert fails("trian") == "there is no verb 'trian'; did you mean `avloc train`?"
    assert fails("data", "bild") == "there is no verb 'bild'; did you mean `avloc data build`?"
    assert fails("doctor") == "there is no verb 'doctor'; did you mean `avloc data doctor`?"
    assert fails("data", "Evaluat").endswith("did you mean `avloc evaluate`?")
    sentence = "there is no verb 'xyzzy'; `avloc data` has build, list, doctor, preview (see `avloc"
    assert sentence in fails("data", "xyzzy")
    assert "required: VERB" in fails()
    assert "required: --workdir" in fails("evaluate")
    for words, sentence in (
        (("--sharp",), "`avloc report` has no option --sharp (see `avloc report --help`)"),
        (("--data_dir=x",), "`avloc report` has no option --data_dir; did you mean --data-dir?"),
        (("sharp",), "unrecognized arguments: sharp"),
    ):
        assert sentence in fails("report", "--workdir", tmp_path, *words)
    # The misspelt option, and not that a required one is missing.
    sentence = "`avloc train` has no option --wrokdir; did you mean --workdir?"
    assert fails("train", "--wrokdir", tmp_path) == sentence
    sentence = "`avloc train` has no option --confg.batch_size; did you mean --config.batch_size?"
    assert fails("train", "--workdir", tmp_path, "--confg.batch_size=8") == sentence
    assert "are required: --out" in fails("import-weights", "--", "--odd.pth")
    assert fails("--halp") == "`avloc` has no option --halp; did you mean --help?"
    assert fails("data", "--halp") == "`avloc data` has no option --halp; did you mean --help?"
    assert "required: VERB" in fails("--")
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


def test_a_workdir_of_other_data(place, tmp_path, fails):
    """The same command, where the data lie under the same name and are others."""
    before = contents(place / "run")
    other = shutil.copytree(place / "data", tmp_path / "data")
    (shard, *_) = other.rglob("*-train.array_record*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 15 * 7] ^= 1
    shard.write_bytes(content)
    sentence = fails("train", "--workdir", place / "run", "--data-dir", other)
    assert "holds a run on other data; name another workdir, or bring those back: " in sentence
    assert "data.fingerprint: '" in sentence and "num_examples" not in sentence
    # Moved, they are the same.
    shutil.rmtree(other)
    shutil.copytree(place / "data", other)
    dataset = Dataset.open("toy_orchestra/tiny", other)
    recorded = json.loads((place / "run" / "data.json").read_text())
    assert recorded["fingerprint"] == dataset.info.fingerprint
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
    process = command("train", "--workdir", copy, *data)
    _, errors = process.communicate()
    assert process.returncode == 2
    assert "can be read: remove the workdir and train again" in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_separate_where_it_cannot_be(place, tmp_path, fails):
    video = write_video(tmp_path / "a.mp4", seconds=1.0)
    asked = ("separate", "--workdir", place / "run", "--out", tmp_path / "out", "--video")
    assert fails(*asked, video) == "method 'csol' cannot separate sounds: choose one that can"
    assert fails(*asked, tmp_path / "b.mp4") == f"{tmp_path / 'b.mp4'}: no such file"
    localize = ("localize", "--workdir", place / "run", "--out", tmp_path / "out", "--separate")
    assert fails(*localize, "--video", video).startswith("method 'csol' cannot separate sounds")
    picture = red_picture(tmp_path / "a.png", 96, 96)
    sound = tmp_path / "a.wav"
    scipy.io.wavfile.write(sound, 16000, np.zeros(16000, np.int16))
    sentence = "--separate takes the sound of a video apart: give --video PATH"
    assert fails(*localize, "--image", picture, "--audio", sound) == sentence
    assert not (tmp_path / "out").exists()


def test_localize_bad_files(place, tmp_path, fails):
    text, image = tmp_path / "text.mp4", tmp_path / "image.png"
    text.write_text("this is no video")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(image)
    asked = ("localize", "--workdir", place / "run", "--out", tmp_path / "out")
    assert "not a video that can be read" in fails(*asked, "--video", text)
    assert "give either --video PATH, or --image" in fails(
        *asked, "--video", text, "--image", image
    )
    assert "give either --video PATH, or --image" in fails(*asked)
    assert "add --audio FILE" in fails(*asked, "--image", image)
    assert "a video brings its own sound" in fails(*asked, "--video", text, "--audio", text)
    assert "absent.mp4: no such file" in fails(*asked, "--video", tmp_path / "absent.mp4")
    assert "not sound that can be read" in fails(*asked, "--image", image, "--audio", text)
    assert "not a picture that can be read" in fails(*asked, "--image", text, "--audio", text)
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

    monkeypatch.setattr("avloc.runs.folder.RunFolder.config", stop)
    assert main(["evaluate", "--workdir", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "avloc: stopped; the same command starts again\n"

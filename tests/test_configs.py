"""Every config loads by its name and trains through all of its phases, at a tiny size."""

from pathlib import Path

import jax
import numpy as np
import pytest

import avloc.configs
from avloc.machine.stopping import Interrupted
from avloc.runs.experiment import differences, fields, load_config, override, with_later_fields
from avloc.runs.folder import RunFolder
from avloc.training import loop
from avloc.training.loading import load_run
from avloc.types import Batch
from tests.training.line import Given, after

pytestmark = pytest.mark.usefixtures("in_haste")

NAMES = sorted(
    path.stem
    for path in Path(avloc.configs.__file__).parent.glob("*.py")
    if "def get_config" in path.read_text()
)
PAPERS = {
    "csol_audioset": "audioset_instrument",
    "csol_duets": "music+music_synthetic",
    "csol_music": "music+music_synthetic",
    "csol_music21": "music21",
    "csol_vggsound": "vggsound+vggsound_synthetic",
    "dsol_music": "music+music_synthetic",
    "ier_music": "music+music_unconstrained",
    "ier_music_synthetic": "music+music_synthetic",
    "ier_vggsound": "vggsound+vggsound_unconstrained",
}
TINY = {
    "data.name": "toy_orchestra/tiny",
    "data.stage_two": "cocktail_train",
    "data.threads": "1",
    "image_size": "32",
    "batch_size": "16",
    "model.width": "4",
    "model.blocks": "(0,0,0,1)",
    "clusters": "10",
    "kmeans.restarts": "1",
    "stage_one.mixtures_after": "1",
    "stage_one.classification_passes": "1",
}
TINY_IER = {"identifier.middle": "8", "identification.epochs": "2"}
TINY_SOP = {
    "sound.samples": "1000",
    "sound.n_fft": "62",
    "sound.hop": "32",
    "sound.rows": "16",
    "separation.levels": "2",
    "separation.width": "2",
    "separation.channels": "10",
}
TINY_C2F = {"model.projection": "(16,8)", "model.pair_hidden": "8"}
# The papers' own, which differ in where labels come from.
TAGGED = {"labels.source": "tags", "labels.file": "", "stage_two.valid": "labelled"}
SHORT = {
    "stage_one.warmup_epochs": 1,
    "stage_one.warmup_steps": 5,
    "stage_one.epochs": 2,
    "hearing.epochs": 1,
    "hearing.steps": 5,
    "identification.steps": 10,
    "separation.steps": 5,
    "stage_two.epochs": 1,
    "multi_task.epochs": 1,
}


def tiny(name):
    config = load_config(f"{name}.py")
    assert config.is_locked
    override(config, TINY.items())
    if config.init_from != "pretrained":
        config.init_from = ""
    if config.method == "ier":
        override(config, TINY_IER.items())
    if config.method in ("sop", "csol_separation"):
        here = dict(fields(config))
        override(config, [(name, x) for name, x in TINY_SOP.items() if name in here])
    if config.method == "c2f":
        override(
            config, (TINY_C2F | (TAGGED if config.labels.source != "clusters" else {})).items()
        )
    # What a config leaves out stays out; the rest is short.
    for field, most in SHORT.items():
        *parents, leaf = field.split(".")
        node = config
        for parent in parents:
            node = node.get(parent, {})
        if leaf in node:
            override(config, [(field, str(min(most, node[leaf])))])
    return config


def train(config, folder, dataset):
    run = RunFolder(folder)
    run.open_for_training(config)
    try:
        return run, loop.train(config, run, dataset)
    finally:
        run.release()


def history(run):
    return [{k: v for k, v in row.items() if k not in ("time", "seconds")} for row in run.epochs()]


def test_the_shipped_experiments():
    assert {"csol_toy", "csol_folder", *PAPERS} <= set(NAMES)
    assert {"ier_folder", "csol_folder_scratch", "ier_folder_scratch"} <= set(NAMES)


@pytest.mark.parametrize("name", ["csol_folder", "ier_folder"])
def test_a_folder_starts_with_pretrained_sight_that_stands_still(name):
    config, scratch = load_config(name), load_config(f"{name}_scratch")
    assert (config.init_from, config.model.visual) == ("pretrained", "efficientnet_lite0")
    assert config.model.frozen == ("visual",) and config.stored_views > 0
    assert (scratch.init_from, scratch.model.frozen, scratch.stored_views) == ("", (), 0)
    assert config.method == scratch.method and config.data.name == scratch.data.name
    # Scenes are seen at twice the size, so that their objects are as large as in training.
    assert config.evaluation.scene_size == 2 * config.image_size


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_configs_do_as_the_papers(name):
    config = load_config(name)
    assert config.data.name == PAPERS[name]
    assert (config.negatives, config.image_size, config.batch_size) == ("drawn", 224, 32)
    assert (config.model.width, tuple(config.model.blocks)) == (64, (2, 2, 2, 2))
    start = "runs/csol_music/stages/stage_two" if name == "csol_duets" else "weights/resnet18"
    assert config.init_from == start
    protocols = (config.evaluation.single_protocol, config.evaluation.scene_protocol)
    assert config.correspondence.to_dict() | {"sharpness": 0, "temperature": 0} == {
        **{"bce": 1.0, "info_nce": 0.0, "pooling": "max"},
        **{"sharpness": 0, "temperature": 0},
    }
    assert config.stage_one.head_deviation == 0.01 and config.stage_one.mixtures == 0
    assert config.data.noise_split == ("duet_train" if config.data.name[:6] == "music+" else "")
    if config.method == "ier":
        assert protocols == ("ier-solo", "ier") and config.evaluation.centre_crop
        assert config.identification.curriculum == "batches"
        assert config.identification.count == "exactly"
    else:
        assert protocols == ("paper-solo", "paper") and not config.evaluation.centre_crop
        two = config.stage_two
        assert (two.kl, two.affine, two.negative_side) == ("visual_to_audio", False, 1)
    dsol = name == "dsol_music"
    assert config.representation == ("mask" if dsol else "weighted")
    assert config.mask.to_dict() == {"threshold": 0.05, "dilated": True}


def test_the_separating_config_does_as_the_paper():
    config = load_config("sop_music")
    assert (config.data.name, config.init_from) == ("music/separation", "weights/resnet18")
    sound = config.sound
    assert sound.samples // sound.hop + 1 == sound.rows == 256 and sound.n_fft == 1022
    spec = config.separation
    assert (spec.mask, spec.weighted, spec.channels, spec.levels) == ("binary", True, 32, 7)
    optimizer = config.optimizers.separation
    assert optimizer.learning_rates.to_dict() == {"default": 1e-3, "visual": 1e-4}
    assert (optimizer.momentum, optimizer.tenth_every) == (0.9, 0.4 * spec.steps)


def test_the_duet_run_goes_on_with_duets():
    duets, music = load_config("csol_duets"), load_config("csol_music")
    assert (duets.data.stage_two, duets.stage_two.epochs) == ("duet_train", 1)
    assert (music.data.stage_two, music.stage_two.epochs) == ("cocktail_train", 5)
    assert len(differences(duets, music)) == 4  # the start and what is scored besides


# What these did before the fields were there, whatever the papers do.
def test_c2f_does_as_its_paper():
    flickr, audioset = load_config("c2f_flickr"), load_config("c2f_audioset")
    for config in (flickr, audioset):
        assert (config.image_size, config.batch_size, config.negatives) == (256, 16, "drawn")
        assert (config.model.audio, config.model.audio_branch) == ("crnn", "convolutions")
        assert (config.multi_task.epochs, config.stage_two.epochs) == (20, 20)
        for name, rate in (("multi_task", 1e-3), ("alignment", 1e-4)):
            optimizer = config.optimizers[name]
            assert optimizer.momentum == 0.9 and optimizer.learning_rates.default == rate
            assert optimizer.learning_rates.visual == pytest.approx(rate / 10)
        assert (config.stage_two.form, config.parts) == ("sum", "full")
    assert (flickr.clusters, audioset.clusters) == (7, 15)
    assert (flickr.labels.source, audioset.labels.source) == ("file", "tags")
    # One split of all levels, by the protocol that counts all boxes.
    assert audioset.data.name == "audioset_instrument/all_boxes"
    assert audioset.data.scene_tests == ("test",)
    assert audioset.evaluation.scene_protocol == "c2f-levels"
    assert flickr.evaluation.single_protocol == "c2f-flickr"


OLD = sorted(name for name in set(NAMES) - set(PAPERS) if not name.startswith("c2f_"))


@pytest.mark.parametrize("name", OLD)
def test_the_others_keep_what_old_runs_did(name):
    config, old = load_config(name), load_config(name)
    with old.unlocked():
        for group in ("mask",):
            del old[group]
        for place in ("data.noise_split", "stage_one.head_deviation", "evaluation.centre_crop"):
            group, field = place.split(".")
            del old[group][field]
        later = {"csol": ("stage_two", "affine", "negative_side")}
        later["ier"] = ("identification", "curriculum", "count")
        later["sop"] = ("stage_two", "affine", "negative_side")
        later["csol_separation"] = later["csol"]
        group, *fields = later[config.method]
        for field in fields:
            del old[group][field]
        assert differences(with_later_fields(old), config) == []


def trained_alike():
    """Names of the configs by what training reads of them at that size, each read once."""
    groups = {}
    for name in NAMES:
        fields = tiny(name).to_dict()
        del fields["evaluation"], fields["inference"]
        del fields["data"]["single_test"], fields["data"]["scene_tests"]
        if not fields["data"]["noise"]:
            del fields["data"]["noise_split"]
        groups.setdefault((name in PAPERS, repr(fields)), []).append(name)
    return list(groups.values())


@pytest.mark.parametrize("names", trained_alike(), ids="=".join)
def test_config_trains(names, toy, tmp_path):
    name = names[0]
    config = tiny(name)
    run, state = train(config, tmp_path, toy)
    phases = [row["phase"] for row in run.epochs()]
    warm = ["warm-up"] * bool(config.stage_one.warmup_epochs)
    # The papers' configs begin to classify in the second epoch; the others mix sounds from it on.
    first = ["localization"] if name in PAPERS else ["localization", "clusters", "classification"]
    second = ["localization", "clusters", "classification"]
    if config.stage_one.mixtures:
        second = ["mixed localization", "clusters", "mixed classification"]
    last = ["matching"] * bool(config.stage_two.epochs)
    if config.method == "ier":
        last = ["clusters", "identification"] * 2 + ["clusters", "referral"]
    if config.init_from == "pretrained":
        # 5 steps are two passes; nothing is said of clusters while there are none.
        warm, first, second = ["warm-up"] * 2, [], []
        last = ["clusters", *["identification"] * 2] * 2 + ["clusters"]
        if config.method.startswith("csol"):
            last = ["hearing"] * 2 + ["clusters"]
        if config.method == "csol_separation":
            last += ["separation"] * 2
    if name.endswith("_folder_scratch"):
        # As those, and stage two.
        warm, first, second = ["warm-up"] * 2, [], []
        last = (["hearing"] * 2 + ["clusters", "matching"]) if config.method == "csol" else last
    if config.method == "sop":
        warm, first, second, last = ["separation"] * 2, [], [], []
    scenes = int(config.stage_two.epochs > 0)
    if config.method == "c2f":
        # Clips, then scenes, in each of both stages.
        scenes, last = 2, ["clusters", *["multi-task"] * 2, *["alignment"] * 2]
        if config.labels.source == "tags":
            warm, first, second, last = [], [], [], last[1:]
    assert phases == [*warm, *first, *second, "clusters", *last]
    assert all(np.isfinite(row["loss"]) for row in run.epochs() if row["phase"] != "clusters")
    # 64 clips and 16 scenes, in batches of 16.
    clips = [phase for phase in phases if phase not in ("clusters", "matching", "referral")]
    passes = len(clips) - (scenes if config.method == "c2f" else 0)
    assert int(state.step) == 4 * passes + scenes
    assert not (tmp_path / "features").exists()  # they are beside the data
    assert (toy.folder / "features").is_dir() or not config.stored_views
    loaded = load_run(tmp_path)
    for a, b in zip(
        jax.tree.leaves((loaded.variables, loaded.aux)),
        jax.tree.leaves((state.variables, state.aux)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert differences(loaded.config, config) == []


def test_an_interrupted_run_ends_bit_for_bit_as_a_whole_one(toy, tmp_path, monkeypatch):
    config = tiny("csol_toy")
    run, whole = train(config, tmp_path / "whole", toy)
    expected = history(run)
    stops = 0
    for _ in range(10):
        with monkeypatch.context() as patch:
            patch.setattr(loop, "signals", lambda: Given(after(7)))
            try:
                run, state = train(config, tmp_path / "pieces", toy)
                break
            except Interrupted:
                stops += 1
    assert stops >= 3
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert history(run) == expected
    batch = Batch.of(np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 16000), np.int16))
    for stage in ("stage_one", "stage_two"):
        outputs = []
        for place in ("whole", "pieces"):
            loaded = load_run(tmp_path / place, stage)
            outputs.append(jax.jit(loaded.method.predict)(loaded.variables, loaded.aux, batch))
        for a, b in zip(*outputs, strict=True):
            np.testing.assert_array_equal(a, b)

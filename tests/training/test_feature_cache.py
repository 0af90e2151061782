"""Stored features are those of every step, and never another run's, however they came about."""

import fcntl
import pickle
import threading

import jax
import numpy as np
import pytest

from avloc.data_pipelines.loader import evaluation_batches, training_batches, view_batches
from avloc.data_pipelines.media.image import evaluation_view, training_view
from avloc.data_pipelines.scenes.imperfect import imperfect
from avloc.machine.devices import Devices
from avloc.machine.stopping import Interrupted, Stop
from avloc.training.feature_cache import FOLDER, FeatureCache
from avloc.training.methods import METHODS
from avloc.training.preflight import check
from avloc.types import TrainState
from tests.records import make_records
from tests.training.line import Line, after
from tests.training.still import SIDE, Still, pooled, settings, stored_dataset
from tests.training.test_resume import assert_same_end

pytestmark = pytest.mark.usefixtures("in_haste")

WEIGHTS = np.float32([0.5, 0.75, 1.0])
STATE = TrainState({"params": {"visual": {"w": WEIGHTS}}, "batch_stats": {}}, {}, {}, 0)


def never():
    return False


def cache_of(dataset, config=None, stop=never, spare=None):
    config = settings() if config is None else config
    asked = type("Given", (Stop,), {"__call__": lambda self, step=None: stop()})()
    method = Still(config, dataset.info)
    spare = dataset.folder / "spare" if spare is None else spare
    return FeatureCache(config, dataset, method, Devices(), asked, spare)


@pytest.fixture
def dataset(tmp_path):
    return stored_dataset(tmp_path / "data")


def files(dataset):
    """Complete files, by the name of their folder."""
    return {
        path.parent.name: path.read_bytes() for path in (dataset.folder / FOLDER).rglob("maps.npy")
    }


def test_random_views_are_those_of_training(dataset):
    """By hand: view v of item i is drawn with the seed (0, i, v), in it the frame first."""
    maps = cache_of(dataset).training("train", 0.5, STATE)
    assert (len(maps), maps.views) == (40, 2)
    for item in range(40):
        views = []
        for view in range(2):
            rng = np.random.default_rng((0, item, view))
            frame = dataset.source("train")[item]["frames"][rng.integers(2)]
            views.append(training_view(frame, SIDE, rng, zoom_out=0.5))
        expected = pooled(np.stack(views), WEIGHTS)
        np.testing.assert_allclose(
            [maps.map(item, view) for view in range(2)], expected, rtol=1e-3, atol=1e-3
        )
    assert any((maps.map(i, 0) != maps.map(i, 1)).any() for i in range(40))


def test_the_view_of_evaluation_is_stored_once(dataset):
    maps = cache_of(dataset).evaluation("train", STATE)
    assert (len(maps), maps.views) == (40, 1)
    views = [evaluation_view(r["frames"][1], SIDE) for r in dataset.source("train")]
    stored = [maps.map(item, 0) for item in range(40)]
    np.testing.assert_allclose(stored, pooled(np.stack(views), WEIGHTS), rtol=1e-3)


def test_batches_hold_maps_of_their_items(dataset):
    maps = cache_of(dataset).training("train", 0.0, STATE)
    source, drawn = dataset.source("train"), set()
    how = dict(image_size=SIDE, batch_size=4, maps=maps)
    for seed in range(3):
        for batch in training_batches(source, seed=seed, **how):
            assert batch.image.shape == (4, 1, 1, 3)
            for row, item in enumerate(batch.index):
                own = [np.array_equal(batch.features[row], maps.map(item, v)) for v in range(2)]
                assert any(own)
                drawn.add(own.index(True))
                np.testing.assert_array_equal(batch.waveform[row], source[item]["waveform"])
    assert drawn == {0, 1}
    whole = list(training_batches(source, seed=5, threads=1, **how))
    again = list(training_batches(source, seed=5, threads=4, **how))
    parts = [list(training_batches(source, seed=5, shard=(s, 2), **how)) for s in range(2)]
    for a, b, *rows in zip(whole, again, *parts, strict=True):
        np.testing.assert_array_equal(a.features, b.features)
        np.testing.assert_array_equal(a.features, np.concatenate([r.features for r in rows]))


def test_evaluation_batches_hold_maps_in_order(dataset):
    maps = cache_of(dataset).evaluation("scenes", STATE)
    batches = list(
        evaluation_batches(dataset.source("scenes"), image_size=SIDE, batch_size=8, maps=maps)
    )
    rows = np.concatenate([batch.features[batch.mask] for batch in batches])
    np.testing.assert_array_equal(rows, [maps.map(item, 0) for item in range(12)])
    assert batches[1].mask.tolist() == [True] * 4 + [False] * 4


def test_a_worker_opens_the_file_itself(dataset):
    maps = cache_of(dataset).training("train", 0.0, STATE)
    packed = pickle.dumps(maps)
    assert len(packed) < 1000
    np.testing.assert_array_equal(pickle.loads(packed).map(39, 1), maps.map(39, 1))


@pytest.mark.parametrize("views", [0, 3])
def test_pictures_to_store_go_on_from_any_place(views):
    records = make_records(5, frames=2, size=16)
    how = dict(image_size=(SIDE, SIDE), views=views, seed=1, zoom_out=0.5)
    total = 5 * max(1, views)
    whole = np.concatenate(list(view_batches(records, batch_size=1, **how)))
    assert len(whole) == total
    for first in (0, 2, total - 1):
        rest = np.concatenate(list(view_batches(records, batch_size=4, first=first, **how)))
        assert len(rest) % 4 == 0
        np.testing.assert_array_equal(rest[: total - first], whole[first:])
        assert (rest[total - first :] == whole[-1]).all()  # padding


# Broken off.


def test_stopped_in_the_middle_it_goes_on_to_the_same_bytes(dataset, tmp_path):
    cache_of(dataset).training("train", 0.5, STATE)
    (name, expected), *_ = files(dataset).items()
    other = stored_dataset(tmp_path / "other")
    read = []
    records = other.source("train")

    class Counted(list):
        def __getitem__(self, place):
            read.append(place)
            return records[place]

    other.source = {"train": Counted(records)}.__getitem__
    with pytest.raises(Interrupted, match="stopped while features were stored"):
        cache_of(other, stop=after(0)).training("train", 0.5, STATE)
    assert not files(other)
    read.clear()
    cache_of(other).training("train", 0.5, STATE)
    assert files(other) == {name: expected}
    assert min(read) == 16  # 32 pictures of 2 views were kept
    left = {path.name for path in (other.folder / FOLDER / name).iterdir()}
    assert left == {"maps.npy", "of.json", ".lock"}


def test_what_is_complete_is_not_made_again(dataset):
    cache_of(dataset).training("train", 0.0, STATE)
    dataset.source = {"train": [None] * 40}.__getitem__  # nothing can be read
    assert len(cache_of(dataset).training("train", 0.0, STATE)) == 40


def test_a_copy_that_is_cut_off_is_made_again(dataset):
    cache_of(dataset).training("train", 0.0, STATE)
    (path,) = (dataset.folder / FOLDER).rglob("maps.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    maps = cache_of(dataset).training("train", 0.0, STATE)
    assert path.read_bytes() == whole and len(maps) == 40


def test_two_processes_store_once(dataset):
    read, records = [], dataset.source("train")

    class Counted(list):
        def __getitem__(self, place):
            read.append(place)
            return records[place]

    dataset.source = {"train": Counted(records)}.__getitem__
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(cache_of(dataset).training("train", 0.0, STATE))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({maps.file for maps in found}) == 1 and len(found) == 3
    assert 80 <= len(read) < 160
    np.testing.assert_array_equal(found[0].map(3, 1), found[2].map(3, 1))


def test_one_that_waits_can_be_stopped(dataset, capsys):
    cache = cache_of(dataset, stop=after(2))
    name = cache_of(dataset).training("train", 0.0, STATE).file.parent
    (name / "maps.npy").unlink()
    with (name / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Interrupted, match="stopped before features were stored"):
            cache.training("train", 0.0, STATE)
    said = capsys.readouterr().out
    assert said.count(f"another process stores features in {name}: waiting for it") == 1


# Of what.


def test_whatever_the_maps_depend_on_gives_another_folder(dataset, tmp_path):
    def name(dataset=dataset, zoom_out=0.5, weights=WEIGHTS, method=Still, **fields):
        config = settings()
        for field, value in fields.items():
            node, leaf = config, field
            if "__" in field:
                group, leaf = field.split("__")
                node = config[group]
            node[leaf] = value
        state = STATE._replace(variables={"params": {"visual": {"w": weights}}, "batch_stats": {}})
        cache = cache_of(dataset, config)
        return cache.training("train", zoom_out, state).file.parent.name

    small = stored_dataset(tmp_path / "data", 8)
    first = name(small)
    assert name(small) == name(small, seed=1) == name(small, batch_size=8) == first
    other = stored_dataset(tmp_path / "data", 8, fingerprint="abd")
    names = [
        name(other),
        name(small, image_size=2 * SIDE),
        name(small, stored_views=3),
        name(small, zoom_out=0.25),
        name(small, weights=WEIGHTS + 1e-6),
        name(small, precision="bfloat16"),
        name(small, model__visual="resnet18"),
        name(small, model__stem_pool=False),
        name(small, data__stage_one="scenes", data__noise=0.5) and first,  # of another split
    ]
    assert len(set(names)) == len(names) and names[-1] == first


def test_statistics_of_the_backbone_count_and_heads_do_not(dataset):
    def name(variables):
        cache = cache_of(dataset)
        return cache.evaluation("scenes", STATE._replace(variables=variables)).file.parent.name

    params = {"visual": {"w": WEIGHTS}}
    plain = name({"params": params, "batch_stats": {}})
    head = name({"params": {**params, "head": {"w": WEIGHTS}}, "batch_stats": {}})
    stats = name({"params": params, "batch_stats": {"visual": {"mean": WEIGHTS}}})
    assert plain == head != stats


def test_noise_of_another_seed_is_another_split(dataset):
    """A seed draws which clips are replaced, and by which scenes: the maps are of other items."""
    stored = {}
    for seed in (0, 1):
        config = settings(seed=seed)
        config.data.noise = 0.5
        noisy = imperfect(dataset, singles="train", scenes="scenes", noise=0.5, seed=seed)
        maps = cache_of(noisy, config).evaluation("train", STATE)
        views = [evaluation_view(r["frames"][len(r["frames"]) // 2], SIDE)
                 for r in noisy.source("train")]  # fmt: skip
        expected = pooled(np.stack(views), WEIGHTS)
        stored[maps.file] = np.stack([maps.map(item, 0) for item in range(40)])
        np.testing.assert_allclose(stored[maps.file], expected, rtol=1e-3)
    assert len(stored) == 2
    assert not np.array_equal(*stored.values())


# Where.


def test_a_data_folder_that_cannot_be_written(dataset, tmp_path, capsys):
    dataset.folder.mkdir()
    (dataset.folder / FOLDER).write_text("in the way")
    spare = tmp_path / "run" / FOLDER
    maps = cache_of(dataset, spare=spare).training("train", 0.0, STATE)
    assert maps.file.parent.parent == spare
    assert f"features are stored in {spare}, as {dataset.folder}" in capsys.readouterr().out
    before = maps.file.stat().st_mtime_ns
    cache_of(dataset, spare=spare).training("train", 0.0, STATE)
    assert maps.file.stat().st_mtime_ns == before
    spare.rename(tmp_path / "moved")
    spare.write_text("in the way")
    with pytest.raises(ValueError) as error:
        cache_of(dataset, spare=spare).training("train", 0.0, STATE)
    assert str(error.value) == (
        f"features can be stored in neither {dataset.folder / FOLDER} (Not a directory) nor "
        f"{spare} (Not a directory): make one writable, or set --config.stored_views=0"
    )


@pytest.mark.parametrize(
    ("fields", "method", "sentence"),
    [
        ({}, Line, "is for backbones that stand still: set"),
        ({"frozen": ()}, Still, "is for backbones that stand still: set"),
        ({"negatives": "drawn"}, Still, "no maps of drawn negatives: set --config.negatives=in_b"),
    ],
)
def test_what_has_no_still_maps_is_refused_before_anything_is_written(
    bench, monkeypatch, fields, method, sentence
):
    config = settings(**{k: v for k, v in fields.items() if k != "frozen"})
    config.model.frozen = fields.get("frozen", ("visual",))
    config.init_from = "pretrained"
    config.clusters = 3
    monkeypatch.setitem(METHODS, "line", method)
    with pytest.raises(ValueError, match=sentence):
        check(config, bench.dataset)


# Trained on.


def test_without_stored_views_nothing_is_stored(dataset):
    cache = cache_of(dataset, settings(stored_views=0))
    assert cache.training("train", 0.0, STATE) is None
    assert cache.evaluation("train", STATE) is None
    assert not dataset.folder.exists()


@pytest.mark.parametrize("calls", [8, 11])
def test_stopped_again_and_again_training_ends_as_if_it_had_not_been(bench, tmp_path, calls):
    bench.dataset = stored_dataset(tmp_path / "whole")
    config = settings(checkpoint_every=3, batch_size=8)
    whole = bench.train("whole", method=Still, config=config), bench.rows()
    bench.dataset = stored_dataset(tmp_path / "pieces")
    stops = 0
    for number in range(20):
        stop = after(calls if number else 1)  # the first time, while features are stored
        try:
            state = bench.train("pieces", method=Still, config=config, stop=stop)
            break
        except Interrupted:
            stops += 1
    assert stops >= 3
    assert_same_end(bench, state, whole)
    assert sorted(files(bench.dataset).values()) == sorted(
        files(stored_dataset(tmp_path / "whole")).values()
    )
    # The colour of each item's video decides its label, by stored maps too.
    np.testing.assert_array_equal(state.aux["labels"], [i % 3 for i in range(40)])


def test_stored_maps_are_what_a_run_without_them_sees(bench, tmp_path):
    """Of pictures that no view changes, the runs are the same but for float16."""
    bench.dataset = stored_dataset(tmp_path / "data", 10)
    for name in ("train", "scenes"):
        for record in bench.dataset.source(name):
            record["frames"] = [np.zeros_like(record["frames"][0])]
    ends = []
    for views in (0, 2):

        class Same(Still):
            def relabel(self, state, scan, key):
                return state

        state = bench.train(f"{views}", method=Same, config=settings(stored_views=views))
        ends.append(jax.tree.leaves(state.variables))
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)

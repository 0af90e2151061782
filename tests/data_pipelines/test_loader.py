"""Batches: order, views, negatives, padding, shards, and iterators that go on where they stood."""

import itertools
import re

import numpy as np
import pytest

from avloc.data_pipelines.loader import MAX_OBJECTS, evaluation_batches, training_batches
from avloc.data_pipelines.records.features import clip_features
from tests.records import make_records

SETTINGS = {"image_size": 16, "batch_size": 4, "threads": 2}


def train(records, **settings):
    return list(training_batches(records, **SETTINGS | {"seed": 0} | settings))


def order(batches):
    return np.concatenate([batch.index for batch in batches]).tolist()


def assert_equal(a, b):
    for name, x, y in zip(a._fields, a, b, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


@pytest.fixture(scope="module")
def records():
    return make_records(18, videos=5, frames=3)


def test_layout(records):
    for batch in (train(records)[0], next(iter(evaluation_batches(records, **SETTINGS)))):
        shapes = {
            name: (x.shape, str(x.dtype)) for name, x in batch._asdict().items() if x is not None
        }
        assert shapes == {
            "image": ((4, 16, 16, 3), "uint8"),
            "waveform": ((4, 16000), "int16"),
            "index": ((4,), "int32"),
            "video": ((4,), "int32"),
            "mask": ((4,), "bool"),
            "boxes": ((4, MAX_OBJECTS, 4), "float32"),
            "labels": ((4, MAX_OBJECTS), "int32"),
            "sounding": ((4, MAX_OBJECTS), "bool"),
            "offscreen": ((4, MAX_OBJECTS), "bool"),
            "level_db": ((4, MAX_OBJECTS), "float32"),
        }


def test_an_item_holds_its_record(records):
    for batch in (*train(records), *evaluation_batches(records, **SETTINGS)):
        for i, index in enumerate(batch.index):
            record = records[index]
            np.testing.assert_array_equal(batch.waveform[i], record["waveform"])
            assert batch.image[i].mean((0, 1)).argmax() == (index % 5) % 3
            np.testing.assert_array_equal(batch.boxes[i, 0], [0.25, 0.25, 0.75, 0.75])
            assert batch.labels[i].tolist() == [index % 5] + [-1] * (MAX_OBJECTS - 1)
            assert batch.sounding[i].tolist() == [True] + [False] * (MAX_OBJECTS - 1)
            assert (batch.boxes[i, 1:] == 0).all()
    videos = {}
    for batch in evaluation_batches(records, **SETTINGS):
        for i, index in enumerate(batch.index):
            videos.setdefault(index % 5, set()).add(batch.video[i])
    assert all(len(names) == 1 for names in videos.values())
    assert len(set.union(*videos.values())) == 5 and min(set.union(*videos.values())) >= 0


@pytest.fixture
def crowded(records):
    """The first item has 13 objects."""
    crowd = {
        "bbox": [np.float32([0, 0, 0.5, i / 13]) for i in range(13)],
        "label": list(range(13)),
        "sounding": [True] * 13,
        "offscreen": [False] * 13,
        "level_db": [0.0] * 13,
    }
    return [records[0] | {"objects": crowd}, *records[1:]]


def test_too_many_objects_are_named(crowded):
    with pytest.raises(ValueError, match="item0 has 13 objects; at most 12 are read"):
        list(evaluation_batches(crowded, **SETTINGS))


def test_items_have_the_slots_that_are_asked_for(crowded):
    for batches in (
        evaluation_batches(crowded, **SETTINGS, slots=14),
        training_batches(crowded, **SETTINGS, seed=0, slots=14),
    ):
        for batch in batches:
            assert batch.boxes.shape == (4, 14, 4)
            for i in np.flatnonzero((batch.index == 0) & batch.mask):
                assert batch.labels[i].tolist() == [*range(13), -1]
                np.testing.assert_array_equal(
                    batch.boxes[i, :, 3], np.float32([*(n / 13 for n in range(13)), 0])
                )


def test_a_spectrogram_is_read_in_place_of_a_waveform(records):
    rng = np.random.default_rng(0)
    spectra = [rng.normal(size=(201, 64)).astype(np.float32) for _ in records]
    empty = {"waveform": np.zeros(0, np.int16)}
    stored = [r | empty | {"log_mel": s} for r, s in zip(records, spectra, strict=True)]
    for batch in (*train(stored), *evaluation_batches(stored, **SETTINGS)):
        assert batch.waveform.shape == (4, 0)
        assert (batch.log_mel.shape, batch.log_mel.dtype) == ((4, 201, 64), np.float32)
        for i, index in enumerate(batch.index):
            np.testing.assert_array_equal(batch.log_mel[i], spectra[index])


# Training.


def test_same_seed_same_batches_whatever_the_threads(records):
    first = train(records, zoom_out=0.5, threads=1)
    for a, b in zip(first, train(records, zoom_out=0.5, threads=4), strict=True):
        assert_equal(a, b)


def test_another_seed_another_order_and_other_views(records):
    a, b = train(records, seed=1), train(records, seed=2)
    assert order(a) != order(b) and order(a) != sorted(order(a))
    brightness = [
        {int(batch.index[i]): batch.image[i].mean() for batch in run for i in range(4)}
        for run in (a, b)
    ]
    shared = brightness[0].keys() & brightness[1].keys()
    assert any(brightness[0][i] != brightness[1][i] for i in shared)


def test_tail_is_dropped_and_no_item_comes_twice(records):
    batches = train(records)
    assert len(batches) == 4 and all(batch.mask.all() for batch in batches)
    assert len(set(order(batches))) == 16
    # Each epoch drops other items.
    assert set(order(batches)) != set(order(train(records, seed=1)))


@pytest.mark.parametrize("shards", [2, 3, 6])
@pytest.mark.parametrize("settings", [{"zoom_out": 0.5}, {"draw_negatives": True}])
def test_the_shards_of_a_batch_are_the_batch(records, shards, settings):
    """Views and negatives too, as what is drawn for an item follows from its place in all."""
    settings = {"batch_size": 6, "threads": 1} | settings
    parts = [train(records, **settings, shard=(s, shards)) for s in range(shards)]
    for whole, *rows in zip(train(records, **settings), *parts, strict=True):
        assert {len(part.index) for part in rows} == {6 // shards}
        for name, x, *own in zip(whole._fields, whole, *rows, strict=True):
            if x is not None:
                np.testing.assert_array_equal(np.concatenate(own), x, err_msg=name)


def test_refused_batches(records):
    with pytest.raises(ValueError, match="the split holds 18 items, fewer than a batch of 20"):
        train(records, batch_size=20)
    sentence = "a batch of 4 does not divide evenly over 3 processes"
    for batches in (
        lambda: train(records, shard=(0, 3)),
        lambda: list(evaluation_batches(records, **SETTINGS, shard=(0, 3))),
    ):
        with pytest.raises(ValueError, match=sentence):
            batches()


def test_training_draws_any_frame_and_evaluation_takes_the_middle_one(records):
    # Of one red: frames of 200, 210 and 220, brightness factors of 0.7 to 1.3.
    red = [records[i] for i in range(18) if (i % 5) % 3 == 0]
    for batch in evaluation_batches(red, **SETTINGS):
        assert (batch.image[batch.mask][..., 0] == 210).all()
    spread = [
        {
            image[..., 0].max()
            for batch in train(part, batch_size=1, seed=s)
            for image in batch.image
        }
        for part, s in itertools.product([red], range(4))
    ]
    assert len(set.union(*spread)) > 8


@pytest.mark.parametrize("zoom_out, plain", [(0.0, 16), (1.0, 0)])
def test_zoom_out(records, zoom_out, plain):
    """A view of a frame of one colour has one colour; a zoomed-out one lies on noise."""
    images = np.concatenate([batch.image for batch in train(records, zoom_out=zoom_out)])
    assert (np.ptp(images, axis=(1, 2)).max(-1) == 0).sum() == plain


def test_zoom_out_is_a_share():
    batches = train(make_records(64), zoom_out=0.5)
    images = np.concatenate([batch.image for batch in batches])
    assert 16 < (np.ptp(images, axis=(1, 2)).max(-1) > 0).sum() < 48


# Drawn negatives.


def test_negatives_are_of_another_video():
    records = make_records(18, videos=3)
    batches = train(records, draw_negatives=True)
    own = np.concatenate([batch.image for batch in batches]).mean((1, 2)).argmax(-1)
    drawn = np.concatenate([batch.negative for batch in batches]).mean((1, 2)).argmax(-1)
    assert (own != drawn).all()
    # Either of the two other videos is drawn.
    assert {1, 2} == set(((drawn - own) % 3).tolist())
    again = train(records, draw_negatives=True)
    for a, b in zip(batches, again, strict=True):
        assert_equal(a, b)


def test_negatives_need_a_second_video():
    with pytest.raises(ValueError, match="the split holds one video only"):
        train(make_records(8, videos=1), draw_negatives=True)


# Evaluation.


@pytest.mark.parametrize("shards, batch_size", [(1, 4), (1, 18), (2, 4), (3, 6), (4, 8), (5, 30)])
def test_evaluation_is_complete_in_order_and_padded_behind(records, shards, batch_size):
    settings = SETTINGS | {"batch_size": batch_size}
    parts = [
        list(evaluation_batches(records, **settings, shard=(s, shards))) for s in range(shards)
    ]
    index, mask = [], []
    for rows in zip(*parts, strict=True):
        assert {len(part.index) for part in rows} == {batch_size // shards}
        index += [part.index for part in rows]
        mask += [part.mask for part in rows]
    index, mask = np.concatenate(index), np.concatenate(mask)
    assert mask.tolist() == [place < 18 for place in range(len(mask))]
    assert index.tolist() == [*range(18), *[0] * (len(mask) - 18)]


# Iterators.


@pytest.mark.parametrize("settings", [{"zoom_out": 0.5}, {"draw_negatives": True}])
def test_a_restored_iterator_gives_the_same_rest(records, settings):
    data = training_batches(records, seed=3, **SETTINGS, **settings)
    whole, states, iterator = [], [], iter(data)
    for _ in range(4):
        states.append(iterator.get_state())
        whole.append(next(iterator))
    states.append(iterator.get_state())
    assert next(iterator, None) is None
    for step, state in enumerate(states):
        resumed = iter(training_batches(records, seed=3, **SETTINGS, **settings))
        resumed.set_state(state)
        rest = list(resumed)
        assert len(rest) == 4 - step
        for a, b in zip(rest, whole[step:], strict=True):
            assert_equal(a, b)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_batches_of_threads(records, workers):
    plain = train(records)
    for a, b in zip(plain, train(records, workers=workers), strict=True):
        assert_equal(a, b)


# Stored sets.


def test_reads_a_stored_set(toy):
    assert set(clip_features()) == set(toy.source("train")[0])
    batches = list(evaluation_batches(toy.source("cocktail_test"), **SETTINGS | {"batch_size": 5}))
    assert len(batches) == 4 and batches[-1].mask.tolist() == [True] + [False] * 4
    scenes = np.concatenate([batch.labels[batch.mask] for batch in batches])
    assert ((scenes >= 0).sum(axis=1) == 4).all()
    sounding = np.concatenate([batch.sounding[batch.mask] for batch in batches])
    assert (sounding.sum(axis=1) == 2).all()
    ids = [toy.source("cocktail_test")[i]["id"].decode() for i in range(16)]
    assert all(re.match(r"cocktail_test", name) for name in ids) and len(set(ids)) == 16


def test_evaluation_of_the_middle_of_pictures_moves_their_boxes():
    (item,) = make_records(1)
    item["frames"] = [np.zeros((64, 64, 3), np.uint8)]
    item["frames"][0][4:60, 4:60] = 200  # the middle 56 of 64
    item["objects"]["bbox"] = np.array([[4 / 64, 32 / 64, 32 / 64, 1]], np.float32)
    found = {}
    for crop in (False, True):
        (found[crop],) = evaluation_batches(
            [item], image_size=56, batch_size=1, centre_crop=crop, threads=0
        )
    assert (found[True].image == 200).all() and (found[False].image == 0).any()
    np.testing.assert_allclose(found[True].boxes[0, 0], [0, 0.5, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(found[False].boxes[0, 0], [0.0625, 0.5, 0.5, 1])
    assert not found[True].boxes[0, 1:].any()  # slots without an object stay so

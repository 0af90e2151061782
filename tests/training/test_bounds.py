"""Numbers that mean nothing are refused before training, in one sentence with the fix."""

import math
import re

import pytest

from avloc.runs.experiment import load_config, override
from avloc.training.bounds import noise_split, require_bounds, require_split
from avloc.training.preflight import check, training_data
from tests.records import make_dataset, make_records
from tests.training.tiny_csol import settings


def config_of(name="csol_folder", **fields):
    return override(load_config(name), fields.items())


@pytest.mark.parametrize(
    "name",
    ["csol_folder", "csol_folder_scratch", "csol_toy", "dsol_music", "ier_folder", "ier_toy"],
)
def test_configs_that_come_with_avloc_pass(name):
    require_bounds(load_config(name))


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [
        ("stored_views", "-1", "0 or more"),
        ("hearing.sources", "0", "2 or more"),
        ("hearing.sources", "1", "2 or more"),
        ("hearing.share", "2", "a number from 0 to 1"),
        ("hearing.steps", "-5", "a number from 0 to 1000000"),
        ("sound_views.semitones", "-3", "a number from 0 to 24"),
        ("stage_one.patience", "-1", "0 or more"),
        ("stage_one.zoom_out", "1.5", "a number from 0 to 1"),
        ("image_size", "0", "a number from 1 to 2048"),
        ("batch_size", "0", "2 or more"),
        ("model.embedding", "0", "1 or more"),
        ("log_every", "0", "1 or more"),
        ("optimizers.hearing.half_life", "-5", "0 or more"),
        ("optimizers.hearing.learning_rates.audio", "-0.1", "0 or more"),
    ],
)
def test_a_number_outside_its_bounds_is_refused_with_the_fix(field, value, fix):
    said = rf"config\.{re.escape(field)} is [-.\d]+: set --config\.{re.escape(field)} to {fix}$"
    with pytest.raises(ValueError, match=said):
        require_bounds(config_of(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [("hearing.share", "1"), ("hearing.sources", "2"), ("image_size", "1"), ("stored_views", "0")],
)
def test_bounds_themselves_are_allowed(field, value):
    require_bounds(config_of(**{field: value}))


def test_a_temperature_divides():
    with pytest.raises(ValueError, match=r"set --config.warmup.temperature above 0$"):
        require_bounds(config_of(**{"warmup.temperature": "0"}))
    require_bounds(config_of(**{"warmup.temperature": "0.01"}))


def test_mixtures_have_no_more_kinds_than_there_are_clusters():
    with pytest.raises(
        ValueError, match=r"clusters is 16: set --config.hearing.sources=16 or less"
    ):
        require_bounds(config_of(**{"hearing.sources": "17"}))
    require_bounds(config_of(**{"hearing.sources": "16"}))
    require_bounds(config_of(**{"hearing.sources": "17", "hearing.share": "0"}))  # no mixtures


def test_scenes_are_not_seen_smaller_than_clips():
    said = r"scene_size=0, or from 224 \(config.image_size\) to 2048$"
    for side in ("100", "-1", "4096"):
        with pytest.raises(ValueError, match=said):
            require_bounds(config_of(**{"evaluation.scene_size": side}))
    for side in ("0", "224"):
        require_bounds(config_of(**{"evaluation.scene_size": side}))
    with pytest.raises(ValueError, match=r"inference.image_size=0, or from 32 to 2048$"):
        require_bounds(config_of(**{"inference.image_size": "8"}))


def test_a_split_that_is_not_there_is_named():
    dataset = make_dataset(train=make_records(3))
    config = config_of(**{"data.stage_one": "trian"})
    with pytest.raises(
        ValueError, match=r"'trian', which .* does not have: set .* to one of train"
    ):
        require_split(config, dataset)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hearing__share": math.inf}, "config.hearing.share is inf: set"),
        ({"data__stage_one": "trian"}, "config.data.stage_one is 'trian', which"),
        ({"stage_two__maps": "heart"}, "config.stage_two.maps is 'softmax' or 'heard', not 'heart"),
        ({"negatives": "foo"}, "config.negatives is 'in_batch' or 'drawn', not 'foo'"),
    ],
)
def test_training_looks_before_it_starts(fields, said):
    records = make_records(12)
    dataset = make_dataset(train=records, cocktail_train=records)
    config = settings(batch_size=4, **fields)
    with pytest.raises(ValueError, match=said):
        check(config, dataset)


def test_the_new_numbers_have_bounds():
    for field, value in (("stage_two.negative_side", "0"), ("stage_two.negative_side", "9")):
        with pytest.raises(ValueError, match=r"negative_side to a number from 1 to 8$"):
            require_bounds(config_of("dsol_music", **{field: value}))
    with pytest.raises(ValueError, match=r"mask\.threshold to a number from 0 to 1$"):
        require_bounds(config_of("dsol_music", **{"mask.threshold": "1.5"}))
    with pytest.raises(ValueError, match=r"head_deviation to 0 or more$"):
        require_bounds(config_of("dsol_music", **{"stage_one.head_deviation": "-0.01"}))


def test_stored_views_are_of_whole_pictures():
    with pytest.raises(ValueError, match=r"set --config.stored_views=0 or --config.evaluation.cen"):
        require_bounds(config_of(**{"evaluation.centre_crop": "True"}))
    require_bounds(config_of(**{"evaluation.centre_crop": "True", "stored_views": "0"}))


def test_noise_has_a_split_of_its_own_where_one_is_named():
    assert noise_split(config_of("csol_toy")) == "cocktail_train"
    assert noise_split(config_of("csol_music")) == "duet_train"


def test_noise_is_drawn_from_the_split_that_is_named():
    duets = make_records(6)
    for item in duets:
        item["id"] = b"duet " + item["id"]
    data = make_dataset(train=make_records(12), cocktail_train=make_records(6), duets=duets)
    config = settings(data__noise=0.5, data__noise_split="duets")
    lessons = training_data(config, data)
    ids = [item["id"].decode() for item in lessons.source("train")]
    assert sum(name.startswith("duet ") for name in ids) == 6 and len(ids) == 12

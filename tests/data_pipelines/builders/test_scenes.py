"""Scenes made from a built data set: who is in them, where, and what is said of what is missing."""

import shutil

import numpy as np
import pytest

from avloc.data_pipelines import registry
from avloc.data_pipelines.builders.scenes import CELL_SIZE, ScenesBuilder, SoloClips
from avloc.data_pipelines.catalogue import DATASETS, Entry
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.scenes.plan import SceneSplit
from tests.solos import BOX, NAMES, shade, tone

SETS = ("music_synthetic", "music_unconstrained", "vggsound_synthetic", "vggsound_unconstrained")


@pytest.fixture(scope="module")
def catalogue():
    """The catalogue, with known clips in place of MUSIC's and VGGSound's."""
    with pytest.MonkeyPatch.context() as patch:
        known = Entry("tests.solos:Solos", "clips that are known")
        made = {name: DATASETS[name]._replace(made_from="music") for name in SETS}
        patch.setattr(registry, "DATASETS", {"music": known, **made})
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory, catalogue):
    """A data folder with the clips built."""
    folder = tmp_path_factory.mktemp("data")
    registry.build("music", data_dir=folder)
    return folder


@pytest.fixture(scope="module")
def solos(data):
    return registry.open_dataset("music", data)


@pytest.fixture(scope="module")
def synthetic(data):
    registry.build("music_synthetic", data_dir=data)
    return Dataset(registry.open_dataset("music_synthetic", data))


@pytest.fixture(scope="module")
def unconstrained(data):
    registry.build("music_unconstrained", data_dir=data)
    return Dataset(registry.open_dataset("music_unconstrained", data))


def records(dataset, split):
    source = dataset.source(split)
    return [source[i] for i in range(len(source))]


def objects_of(record):
    """Rows of (label, box, sounding, offscreen)."""
    objects = record["objects"]
    return list(
        zip(
            map(int, objects["label"]),
            map(np.asarray, objects["bbox"]),
            map(bool, objects["sounding"]),
            map(bool, objects["offscreen"]),
            strict=True,
        )
    )


def place(record, number):
    """Row and column of the cell that a record's object of that number is in, from its box."""
    box = np.asarray(record["objects"]["bbox"][number])
    return int(box[0] >= 0.5), int(box[1] >= 0.5)


def test_clips_are_read_by_place(solos):
    clips = SoloClips(solos, "test")
    source = solos.as_data_source("test")
    assert len(clips) == 24
    for number in range(24):
        record = source[number]
        name = int(record["id"].decode().removeprefix("test_"))
        clip = clips.clip(number)
        assert clip.frame[5, 5, 0] == pytest.approx(shade(name % 8, 2), abs=2)  # the middle one
        np.testing.assert_array_equal(clip.waveform, tone(name % 8))
        assert len(clip.boxes) == len(clip.labels) == (2 if name in (20, 21, 23) else 1)
        assert clips.usable[number] == (name not in (20, 21, 22))
        assert clips.placed[number] == (name < 16 or name == 23)
        assert clips.labels[number] == (-1 if name in (20, 21, 22) else name % 8)
        others = [i for i in range(24) if clips.videos[i] == clips.videos[number]]
        assert {source[i]["video"] for i in others} == {record["video"]} and len(others) == 2


def test_splits_and_sizes(synthetic):
    assert dict(synthetic.info.num_examples) == {"cocktail_train": 24, "cocktail_test": 17}
    assert synthetic.info.class_names == NAMES
    metadata = synthetic.metadata
    assert metadata["made_from"] == "music/default"
    assert metadata["scene_boxes"] == {"cocktail_train": "cell", "cocktail_test": "moved"}
    assert metadata["recipes"]["cocktail_test"]["name"] == "2_2_0"
    assert metadata["summary"] == (
        "Made from music/default.\ncocktail_train: of the 8 categories that have boxes in test; "
        "24 scenes, not 24,978: synthesis has only 24 "
        "clips.\ncocktail_test: 17 scenes, not 456: test has only 17 clips with boxes."
    )
    most = max(len(r["objects"]["label"]) for r in records(synthetic, "cocktail_test"))
    assert metadata["max_objects"] == most == 5  # one clip has two objects


def test_a_test_scene_shows_the_clips_that_it_says(synthetic):
    for record in records(synthetic, "cocktail_test"):
        (frame,) = record["frames"]
        assert frame.shape == (2 * CELL_SIZE, 2 * CELL_SIZE, 3)
        objects = objects_of(record)
        shown = {label for label, *_ in objects}
        assert len(shown) == 4
        assert len({label for label, _, sounding, _ in objects if sounding}) == 2
        assert not any(offscreen for *_, offscreen in objects)
        for number, (label, box, *_) in enumerate(objects):
            row, column = place(record, number)
            # The clip's box, moved into the quadrant.
            corner = np.array([row, column, row, column])
            np.testing.assert_allclose(box, (corner + BOX) / 2, atol=1e-6)
            y, x = (int((cell + 0.5) * CELL_SIZE) for cell in (row, column))
            assert frame[y, x, 0] == pytest.approx(shade(label, 2), abs=2)


def test_the_sound_is_of_the_sounding_clips_alone(synthetic):
    def level(waveform, label):
        spectrum = np.abs(np.fft.rfft(waveform.astype(np.float64)))
        return spectrum[200 + 100 * label] / spectrum.max()

    for split in ("cocktail_train", "cocktail_test"):
        for record in records(synthetic, split):
            heard = {label for label, _, sounding, _ in objects_of(record) if sounding}
            for label in range(len(NAMES)):
                assert (level(record["waveform"], label) > 0.1) == (label in heard)


def test_an_object_without_a_place_gets_its_cell(synthetic):
    for record in records(synthetic, "cocktail_train"):
        boxes = sorted(map(tuple, np.stack(record["objects"]["bbox"]).tolist()))
        assert boxes == [
            (0.0, 0.0, 0.5, 0.5),
            (0.0, 0.5, 0.5, 1.0),
            (0.5, 0.0, 1.0, 0.5),
            (0.5, 0.5, 1.0, 1.0),
        ]


def test_categories_are_balanced(synthetic):
    shown, heard = np.zeros(8, int), np.zeros(8, int)
    for record in records(synthetic, "cocktail_train"):
        for label, _, sounding, _ in objects_of(record):
            shown[label] += 1
            heard[label] += sounding
    assert shown.sum() == 96 and np.ptp(shown) <= 1
    assert heard.sum() == 48 and np.ptp(heard) <= 2


def test_the_same_set_again(synthetic, solos, tmp_path):
    shutil.copytree(registry.data_root(solos.data_path.parents[2]) / "music", tmp_path / "music")
    registry.build("music_synthetic", data_dir=tmp_path)
    again = Dataset(registry.open_dataset("music_synthetic", tmp_path))
    for one, other in zip(
        records(synthetic, "cocktail_train"), records(again, "cocktail_train"), strict=True
    ):
        assert one["id"] == other["id"]
        np.testing.assert_array_equal(one["waveform"], other["waveform"])
        np.testing.assert_array_equal(one["frames"][0], other["frames"][0])


def test_unconstrained_levels(unconstrained):
    sizes = dict(unconstrained.info.num_examples)
    assert sizes == {"cocktail_train": 24, "cocktail_test": 17, "cocktail_test_3_3_2": 17}
    # Eleven clips of different categories cannot be had of eight.
    (missing,) = [n for n in unconstrained.metadata["notes"] if "4_4_3" in n]
    assert missing.startswith("no cocktail_test_4_4_3: a scene of 11 clips needs")
    assert missing in unconstrained.metadata["summary"]
    for split, (sounding, silent, hidden), grid in (
        ("cocktail_train", (2, 2, 1), (2, 2)),
        ("cocktail_test_3_3_2", (3, 3, 2), (2, 3)),
    ):
        for record in records(unconstrained, split):
            shape = record["frames"][0].shape
            assert shape == (CELL_SIZE * grid[0], CELL_SIZE * grid[1], 3)
            rows = {(label, heard, off) for label, _, heard, off in objects_of(record)}
            counts = [
                sum(heard and not off for _, heard, off in rows),
                sum(not heard for _, heard, off in rows),
                sum(off for *_, off in rows),
            ]
            assert counts == [sounding, silent, hidden]
            assert len({label for label, *_ in rows}) == sum(counts)


def test_without_boxes_each_object_has_its_cell_and_that_is_said(data, solos):
    class Boxless(ScenesBuilder, skip_registration=True):
        name = "boxless"
        VERSION = "1.0.0"
        SCENES = {"cocktail_test": SceneSplit("synthesis", "2_2_0", 5, placed=True)}  # noqa: RUF012

    builder = Boxless(config=Boxless.config_from(solos), data_dir=data)
    builder.download_and_prepare(file_format="array_record")
    assert builder.info.splits["cocktail_test"].num_examples == 5
    assert builder.info.metadata["scene_boxes"] == {"cocktail_test": "cell"}
    assert builder.info.metadata["notes"] == [
        "cocktail_test: synthesis has no boxes, so the box of each object is its cell"
    ]


def test_a_base_without_any_split_that_is_wanted_is_refused(data, solos):
    class Wanting(ScenesBuilder, skip_registration=True):
        name = "wanting"
        VERSION = "1.0.0"
        SCENES = {"cocktail_train": SceneSplit("duets", "2_2_0", 5)}  # noqa: RUF012

    builder = Wanting(config=Wanting.config_from(solos), data_dir=data)
    sentence = "no scene can be made from music/default: no cocktail_train: .* no split duets"
    with pytest.raises(ValueError, match=sentence):
        builder.download_and_prepare(file_format="array_record")


def test_the_base_has_to_be_built_first(catalogue, tmp_path):
    with pytest.raises(ValueError, match=r"data set music is not built in .* `avloc data b"):
        registry.build("music_synthetic", data_dir=tmp_path)


def test_a_base_that_was_built_anew_is_noticed(synthetic, solos, data, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    described = folder / "music/default/1.0.0/metadata.json"
    described.write_text(described.read_text().replace('"abc"', '"xyz"'))
    with pytest.raises(ValueError, match=r"remove .*music_synthetic/default and run `avloc data"):
        registry.build("music_synthetic", data_dir=folder)


@pytest.mark.parametrize("name", SETS)
def test_declared_scenes(name):
    cls = registry.builder_class(DATASETS[name])
    train, test = cls.SCENES["cocktail_train"], cls.SCENES["cocktail_test"]
    counts = (24_978, 456) if name.startswith("music") else (40_000, 500)
    assert (train.count, test.count) == counts
    assert (train.source, test.source) == ("synthesis", "test")
    recipe = "2_2_0" if name.endswith("synthetic") else "2_2_1"
    assert (train.recipe, test.recipe) == (recipe, recipe)
    levels = {"cocktail_test_3_3_2", "cocktail_test_4_4_3"}
    assert levels & set(cls.SCENES) == (levels if name.endswith("unconstrained") else set())
    assert all(
        split.placed == kind.startswith("cocktail_test") for kind, split in cls.SCENES.items()
    )
    assert not train.placed and DATASETS[name].made_from == name.partition("_")[0]


class Chosen(ScenesBuilder, skip_registration=True):
    """Scenes of a random frame of each clip, and of the categories with boxes in `test`."""

    name = "chosen"
    VERSION = "1.0.0"
    SCENES = {  # noqa: RUF012
        "some": SceneSplit("synthesis", "2_2_0", 12, boxed_in="test", any_frame=True),
        "any": SceneSplit("synthesis", "2_2_0", 12),
    }


def test_scenes_of_boxed_categories_and_random_frames(data, solos, monkeypatch):
    # Five categories have boxes, as a detector knew no more.
    monkeypatch.setattr(SoloClips, "boxed", lambda self: np.array([0, 2, 3, 5, 7]))
    builder = Chosen(config=Chosen.config_from(solos), data_dir=data)
    builder.download_and_prepare(file_format="array_record")
    made = Dataset(builder)
    kinds, numbers = set(), set()
    for record in records(made, "some"):
        for number, (label, *_) in enumerate(objects_of(record)):
            y, x = (int((cell + 0.5) * CELL_SIZE) for cell in place(record, number))
            kinds.add(label)
            numbers.add(round((int(record["frames"][0][y, x, 0]) - shade(label, 0)) / 5))
    assert kinds == {0, 2, 3, 5, 7} and numbers == {0, 1, 2, 3}
    assert {label for r in records(made, "any") for label, *_ in objects_of(r)} == set(range(8))
    notes = builder.info.metadata["notes"]
    assert notes == ["some: of the 5 categories that have boxes in test"]
    assert builder.info.metadata["recipes"]["some"]["name"] == "2_2_0"


def test_boxed_categories_are_those_of_placed_clips(solos):
    assert SoloClips(solos, "test").boxed().tolist() == list(range(8))
    assert SoloClips(solos, "synthesis").boxed().tolist() == []

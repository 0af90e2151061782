import fcntl
import json
import shutil
import sys
from pathlib import Path

import pytest

from avloc.data_pipelines import registry
from tests.data_pipelines.builders.music_folder import in_this_process, write_music
from tests.videos import write_video


@pytest.fixture(autouse=True)
def _in_process(monkeypatch):
    """Decodes in this process."""
    cls = registry.builder_class(registry.DATASETS["video_folder"])
    real = cls.config_of

    def config_of(source, name=None):
        config = real(source, name)
        config.workers = 0
        return config

    monkeypatch.setattr(cls, "config_of", config_of)
    with in_this_process():
        yield


@pytest.fixture(scope="module")
def band(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("source") / "The Band"
    source.mkdir()
    for v in range(2):
        write_video(source / f"{v}.mp4", seconds=1, size=(32, 32), rate=8)
    return source


def test_build_then_open_without_the_source(band, tmp_path, capsys):
    source = shutil.copytree(band, tmp_path / band.name)
    data = tmp_path / "data"
    built = registry.build("video_folder", source, data)
    assert Path(built.data_path) == data / "video_folder/the_band/1.3.0"
    out = capsys.readouterr().out
    assert out.startswith("Built 2 clips from 2 of 2 videos")
    assert "video_folder/the_band in" in out
    assert "ownloading" not in out  # TFDS's own words
    shutil.rmtree(source)
    for spec in ("video_folder", "video_folder/the_band"):
        opened = registry.open_dataset(spec, data)
        assert opened.as_data_source("train")[0]["video"] in (b"0.mp4", b"1.mp4")
    assert [p.name for p in (data / "video_folder/the_band").iterdir()] == ["1.3.0"]


def test_building_again_finds_it_built(band, tmp_path, capsys):
    registry.build("video_folder", band, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.array_record*")}
    capsys.readouterr()
    registry.build("video_folder", band, tmp_path)
    assert "already built in" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.array_record*")}


def test_a_changed_folder_is_not_taken_for_the_one_built(band, tmp_path):
    source = shutil.copytree(band, tmp_path / "band")
    registry.build("video_folder", source, tmp_path / "data")
    shutil.copy(source / "0.mp4", source / "2.mp4")
    with pytest.raises(ValueError, match=r"as it is now: remove .*video_folder/band and run"):
        registry.build("video_folder", source, tmp_path / "data")


def test_several_folders_live_side_by_side(band, tmp_path):
    registry.build("video_folder", band, tmp_path)
    registry.build("video_folder", band, tmp_path, config="other")
    with pytest.raises(
        ValueError, match=r"ambiguous in .*: name one of video_folder/other, video_folder/the_band"
    ):
        registry.open_dataset("video_folder", tmp_path)
    assert registry.open_dataset("video_folder/other", tmp_path).info.metadata["videos"] == 2


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("piano", r"no data set is called 'piano'; there are toy_orchestra, video_folder"),
        ("toy_orchestra/huge", "toy_orchestra has no configuration 'huge'; it has default, tiny"),
        (
            "toy_orchestra/tiny",
            "toy_orchestra/tiny is not built in .*: "
            "run `avloc data build toy_orchestra/tiny --data-dir .*`",
        ),
        ("video_folder", "run `avloc data build video_folder --source FOLDER --data-dir .*`"),
        ("video_folder/x", "run `avloc data build video_folder --source FOLDER --data-dir .*`"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path, spec, sentence):
    with pytest.raises(ValueError, match=sentence):
        registry.open_dataset(spec, tmp_path)


def test_source_is_asked_for_where_needed_only(tmp_path):
    with pytest.raises(ValueError, match="needs a folder of videos"):
        registry.build("video_folder", data_dir=tmp_path)
    with pytest.raises(ValueError, match="leave out --source"):
        registry.build("toy_orchestra", tmp_path, tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        registry.build("video_folder", tmp_path / "nowhere", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_build_leaves_nothing(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.mp4").write_text("text")
    with pytest.raises(ValueError, match=r"none of its 1 videos can be used: a\.mp4"):
        registry.build("video_folder", tmp_path / "source", tmp_path / "data")
    assert not (tmp_path / "data/video_folder/source").exists()


def _remove(folder: Path) -> None:
    next(folder.glob("*-train.array_record*")).unlink()


def _cut_off(folder: Path) -> None:
    shard = next(folder.glob("*-train.array_record*"))
    shard.write_bytes(shard.read_bytes()[:1000])


def _lose_info(folder: Path) -> None:
    (folder / "dataset_info.json").unlink()


def _garble_info(folder: Path) -> None:
    (folder / "dataset_info.json").write_text("{")


def _lose_features(folder: Path) -> None:
    (folder / "features.json").unlink()


@pytest.mark.parametrize("harm", [_remove, _cut_off, _lose_info, _garble_info, _lose_features])
def test_a_damaged_data_set_says_how_to_mend_it(band, tmp_path, harm):
    built = registry.build("video_folder", band, tmp_path)
    harm(Path(built.data_path))
    sentence = r"is damaged \(.*\): remove that folder and run `avloc data build video_folder"
    with pytest.raises(ValueError, match=sentence):
        registry.open_dataset("video_folder", tmp_path)
    with pytest.raises(ValueError, match=sentence):
        registry.build("video_folder", band, tmp_path)
    (listing,) = [x for x in registry.list_datasets(tmp_path) if x.spec.startswith("video")]
    assert listing.path is not None
    assert not listing.splits


@pytest.mark.parametrize(
    "config",
    ["../../evil", "..", ".", "/tmp/evil", "a/b", "a\\b", "a\0b", ".clips", "-x", "a\n", "x" * 101],
)
def test_no_name_leads_out_of_the_data_folder(band, tmp_path, config):
    data = tmp_path / "a" / "b"
    kept = tmp_path / "evil" / "incomplete.1"
    kept.mkdir(parents=True)
    sentence = "cannot be the name of a configuration: give at most 100 letters, digits"
    for spec, more in ((f"video_folder/{config}", {}), ("video_folder", {"config": config})):
        with pytest.raises(ValueError, match=sentence):
            registry.build(spec, band, data, **more)
    with pytest.raises(ValueError, match=sentence):
        registry.open_dataset(f"video_folder/{config}", data)
    with pytest.raises(ValueError, match=sentence):
        registry.collection(f"video_folder/{config}", band)
    assert sorted(tmp_path.rglob("*")) == [kept.parent, kept]


def test_a_name_of_letters_and_spaces_is_a_folder(band, tmp_path):
    registry.build("video_folder/Música 2.0-x", band, tmp_path)
    assert (tmp_path / "video_folder" / "Música 2.0-x" / "1.3.0").is_dir()
    assert registry.open_dataset("video_folder", tmp_path).info.config_name == "Música 2.0-x"


def _rewrite(file: Path, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def _legacy(content: dict) -> None:
    content.clear()
    content.update(type="evil_module.Feature", content={})


def _name(content: dict) -> None:
    content["featuresDict"]["features"]["id"]["pythonClassName"] = "evil_module.Feature"


def _deep(content: dict) -> None:
    frames = content["featuresDict"]["features"]["frames"]
    frames["sequence"]["feature"]["pythonClassName"] = "evil_module.Feature"


def _other(content: dict) -> None:
    label = {"classLabel": {"numClasses": 2}}
    label["pythonClassName"] = "tensorflow_datasets.core.features.class_label_feature.ClassLabel"
    content["featuresDict"]["features"]["id"] = label


def _less(content: dict) -> None:
    del content["featuresDict"]["features"]["objects"]


@pytest.mark.parametrize("change", [_legacy, _name, _deep, _other, _less, list])
def test_a_data_folder_names_no_code(band, tmp_path, monkeypatch, change):
    registry.build("video_folder", band, tmp_path)
    version = tmp_path / "video_folder/the_band/1.3.0"
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    _rewrite(version / "features.json", change)
    if change is list:
        (version / "features.json").write_text("[]")
    with pytest.raises(ValueError, match=r"is damaged \(features\.json (names|has|cannot)"):
        registry.open_dataset("video_folder", tmp_path)
    assert "evil_module" not in sys.modules


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "../../x"), ("filepathTemplate", "../../{DATASET}-{SPLIT}.{FILEFORMAT}")],
)
def test_a_data_folder_names_no_files_elsewhere(band, tmp_path, field, value):
    registry.build("video_folder", band, tmp_path)
    info = tmp_path / "video_folder/the_band/1.3.0/dataset_info.json"
    _rewrite(info, lambda content: content["splits"][0].update({field: value}))
    with pytest.raises(ValueError, match="is damaged"):
        registry.open_dataset("video_folder", tmp_path)
    _rewrite(info, lambda content: content.update(fileFormat="tfrecord"))
    with pytest.raises(ValueError, match="is damaged"):
        registry.open_dataset("video_folder", tmp_path)


@pytest.mark.parametrize(
    "content",
    ["null", "7", '{"class_names": "abc"}', '{"class_names": [1]}', '{"max_objects": null}'],
)
def test_metadata_of_a_wrong_type(band, tmp_path, content):
    registry.build("video_folder", band, tmp_path)
    file = tmp_path / "video_folder/the_band/1.3.0/metadata.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"is damaged \(.*metadata\.json"):
        registry.open_dataset("video_folder", tmp_path)


def test_two_builds_at_once_are_kept_apart(band, tmp_path):
    folder = tmp_path / "video_folder/the_band"
    folder.mkdir(parents=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="being built by another process"):
            registry.build("video_folder", band, tmp_path)


def test_what_a_killed_build_left_is_cleared_away(band, tmp_path):
    dead = tmp_path / "video_folder/the_band/incomplete.ABCDEF_1.3.0"
    dead.mkdir(parents=True)
    (dead / "half").write_text("x")
    with pytest.raises(ValueError, match="not built"):
        registry.open_dataset("video_folder", tmp_path)
    registry.build("video_folder", band, tmp_path)
    assert not dead.exists()


def test_list(band, tmp_path):
    registry.build("video_folder", band, tmp_path)
    listings = {listing.spec: listing for listing in registry.list_datasets(tmp_path)}
    built = {"video_folder/the_band"}
    fixed = {f"toy_orchestra/{name}" for name in ("default", "long", "tiny", "tiny_wild", "wild")}
    others = set(registry.DATASETS) - {"toy_orchestra", "video_folder"}
    assert set(listings) == built | fixed | others
    toy, own = listings["toy_orchestra/tiny"], listings["video_folder/the_band"]
    assert (toy.path, toy.splits, toy.size) == (None, {}, 0)
    assert toy.build_command.startswith("avloc data build toy_orchestra/tiny --data-dir")
    assert own.splits == {"train": 1, "test": 1}
    assert own.size == sum(f.stat().st_size for f in own.path.iterdir())
    music, scenes = listings["music"], listings["music_synthetic"]
    assert music.build_command.startswith("avloc data build music --source FOLDER --data-dir")
    assert "github.com/roudimit/MUSIC_dataset" in music.entry.publisher
    assert scenes.build_command.startswith("avloc data build music_synthetic --data-dir")


def test_every_data_set_of_the_catalogue_has_a_builder_and_says_where_it_comes_from():
    for name, entry in registry.DATASETS.items():
        cls = registry.builder_class(entry)
        assert cls.name == name
        assert entry.description
        assert hasattr(cls, "config_of") or not entry.needs
        assert hasattr(cls, "config_from") == bool(entry.made_from)
        assert not entry.made_from or entry.made_from in registry.DATASETS
        assert entry.publisher or name in ("video_folder", "scene_folder") or not entry.needs


def test_a_published_set_has_configurations_of_its_own(tmp_path):
    source = write_music(tmp_path / "source", seconds=1)
    built = registry.build("music", source, tmp_path / "data")
    assert Path(built.data_path) == tmp_path / "data/music/default/1.1.0"
    registry.build("music/allow_overlap", source, tmp_path / "data")
    assert registry.open_dataset("music", tmp_path / "data").info.config_name == "default"
    (source / "videos" / "cello-00001.mp4").unlink()
    with pytest.raises(
        ValueError, match=r"remove .*music/default and run .* or use another --data"
    ):
        registry.build("music", source, tmp_path / "data")
    with pytest.raises(
        ValueError, match="music has no configuration 'mine'; it has default, allow"
    ):
        registry.build("music/mine", source, tmp_path / "data")


def test_a_set_made_from_another_needs_that_one_built(tmp_path):
    with pytest.raises(
        ValueError, match=r"data set music is not built .*data build music --source"
    ):
        registry.build("music_unconstrained", data_dir=tmp_path)
    with pytest.raises(ValueError, match="leave out --source"):
        registry.build("music_unconstrained", tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"is not built .*: run `avloc data build music_synthetic"):
        registry.open_dataset("music_synthetic", tmp_path)


def test_an_older_layout_is_not_read_but_built_anew(band, tmp_path):
    path = Path(registry.build("video_folder", band, tmp_path).data_path)
    path.rename(path.with_name("1.0.0"))
    with pytest.raises(ValueError, match=r"not built in .* \(only version 1\.0\.0, from an earl"):
        registry.open_dataset("video_folder/the_band", tmp_path)
    assert Path(registry.build("video_folder", band, tmp_path).data_path) == path


def test_where_data_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "here"))
    assert registry.data_root() == tmp_path / "here"
    assert registry.data_root("~/x") == Path.home() / "x"
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert registry.data_root() == Path.home() / "tensorflow_datasets"

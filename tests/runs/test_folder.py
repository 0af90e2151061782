"""A run's folder: one config, one process, whole files."""

import json

import pytest

from avloc.configs.csol import base
from avloc.runs.folder import RunFolder, write_atomically
from avloc.runs.history import Writer, mean_of


@pytest.fixture
def config():
    config = base()
    config.model.blocks = (1, 2)
    config.lock()
    return config


def test_open_and_reopen(tmp_path, config):
    run = RunFolder(tmp_path / "a" / "b")
    assert run.open_for_training(config) is False
    assert run.config().is_locked and run.config().model.blocks == [1, 2]
    del run
    assert RunFolder(tmp_path / "a" / "b").open_for_training(config) is True


def test_a_second_process_is_turned_away(tmp_path, config):
    first = RunFolder(tmp_path)
    first.open_for_training(config)
    with pytest.raises(ValueError, match=f"another process is training in {tmp_path}: wait for it"):
        RunFolder(tmp_path).open_for_training(config)
    del first
    assert RunFolder(tmp_path).open_for_training(config) is True


def test_another_config_is_refused_by_field(tmp_path, config):
    RunFolder(tmp_path).open_for_training(config)
    other = base()
    other.update(seed=1, model={"blocks": (1, 2)})
    with pytest.raises(ValueError, match=r"another config.*config.seed: 0 there, 1 here$"):
        RunFolder(tmp_path).open_for_training(other)
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 0


def test_a_workdir_that_cannot_be_written(tmp_path, config):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run").open_for_training(config)


def test_no_run_and_a_damaged_one(tmp_path):
    with pytest.raises(ValueError, match=r"holds no run \(no config.json\): train one with"):
        RunFolder(tmp_path).config()
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(ValueError, match=r"config.json is damaged .*: restore it or start again"):
        RunFolder(tmp_path).config()


def test_history(tmp_path):
    run = RunFolder(tmp_path)
    assert run.epochs() == []
    writer = Writer(run)
    rows = [{"phase": "a", "epoch": e, "step": 4 * e, "loss": 1 / e} for e in (1, 2, 3)]
    for row in rows:
        writer.write_epoch(row)
    writer.close()
    assert run.epochs() == rows
    run.rewind(2)
    assert run.epochs() == rows[:2]
    assert any((tmp_path / "tensorboard").iterdir())


def test_text_is_written_in_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "a.json"
    write_atomically(file, "old")
    with pytest.raises(TypeError):
        write_atomically(file, None)
    assert file.read_text() == "old"


def test_mean_of():
    assert mean_of([{"a": 1.0, "b": 2}, {"a": 2.0, "b": 4}]) == {"a": 1.5, "b": 3.0}
    assert mean_of([]) == {}

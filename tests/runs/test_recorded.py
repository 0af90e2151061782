"""What a run's folder says: a field of another type is named."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from avloc.cli import main
from avloc.runs.folder import RunFolder
from avloc.runs.recorded import read_categories, read_info, read_sessions
from avloc.training.loading import recorded_info

WRONG = (None, [], {}, "text", 1.5, True, [None], {"a": None})
CLUSTERS = 10


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(Path(__file__).parent / "run_of_0.1.0.tar.gz") as packed:
        packed.extractall(folder, filter="data")
    return folder / "run"


@pytest.fixture
def run(unpacked, tmp_path) -> RunFolder:
    return RunFolder(shutil.copytree(unpacked, tmp_path / "run"))


READERS = {
    "config.json": lambda run: run.config(),
    "data.json": recorded_info,
    "categories.json": lambda run: read_categories(run.categories, CLUSTERS),
}


def spoilt(content):
    """Every version of a JSON value with one field of another type, or without one."""
    for name, value in content.items():
        for wrong in WRONG:
            number = isinstance(value, float) and isinstance(wrong, float)
            if type(wrong) is not type(value) and not number:
                yield f"{name} = {wrong!r}", {**content, name: wrong}
        if isinstance(value, dict):
            for what, inner in spoilt(value):
                yield f"{name}.{what}", {**content, name: inner}


# What a config or a data set need not have, and what is read as another kind of number.
FREE = ("extra.", "optimizers.", "evaluation.split_protocols")


@pytest.mark.parametrize("name", READERS)
def test_a_field_of_another_type_is_named(run, name):
    file, read = run.path / name, READERS[name]
    content = json.loads(file.read_text())
    read(run)
    cases = 0
    for what, wrong in spoilt(content):
        file.write_text(json.dumps(wrong))
        field = what.partition(" = ")[0].rpartition(".")[2]
        if what.startswith(FREE):
            continue
        with pytest.raises(ValueError) as error:
            read(run)
        assert str(error.value).startswith(f"{file} is damaged ("), what
        assert field in str(error.value), what
        cases += 1
    assert cases >= 12
    for name in content:
        if name in ("name", "fingerprint", "extra", "sample_rate", "max_objects", "init_from"):
            continue  # runs of before had none
        file.write_text(json.dumps({k: v for k, v in content.items() if k != name}))
        try:
            read(run)
        except ValueError as error:
            assert f'the field "{name}' in str(error)
        else:  # a field that came later, or one of another method
            assert name not in ("method", "data", "model", "num_examples", "names", "of_cluster")


@pytest.mark.parametrize("name", [*READERS, "sessions.json", "metrics.json", "train.jsonl"])
@pytest.mark.parametrize(
    "text", ["", "null", "[]", "[null]", '{"splits": [1]}', "{", "\0", "[" * 9999]
)
def test_a_file_that_holds_something_else(run, name, text, capsys):
    """`info` leaves out what it cannot read, and says so of the config."""
    (run.path / name).write_text(text)
    status = main(["info", str(run.path)])
    said = capsys.readouterr()
    assert status == (2 if name == "config.json" else 0), said.err
    if name in READERS:
        with pytest.raises(ValueError, match=rf"{name} is damaged \("):
            READERS[name](run)
    elif name == "sessions.json" and text not in ("[]",):
        with pytest.raises(ValueError, match=r"sessions\.json"):
            read_sessions(run.path / name)


def test_categories_of_another_number_of_clusters(run):
    with pytest.raises(ValueError, match=r"the run has 9 clusters, not 10.*avloc evaluate"):
        read_categories(run.categories, 9)


def test_what_a_later_version_notes_is_left_out(run):
    file = run.path / "data.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"later": 1}))
    assert read_info(file).num_examples["train"] > 0

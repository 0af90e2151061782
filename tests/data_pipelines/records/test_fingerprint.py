"""A data set's fingerprint: the same wherever it lies, another when its content is."""

import shutil

import pytest

from avloc.data_pipelines import registry
from avloc.data_pipelines.dataset import Dataset, JoinedDataset
from avloc.data_pipelines.records.fingerprint import fingerprint
from avloc.training.preflight import training_data
from tests.training.line import settings


@pytest.fixture
def copy(toy, tmp_path):
    """Another copy of the data set's folder."""
    place = tmp_path / "toy_orchestra" / "tiny"
    return shutil.copytree(toy.builder.data_path, place / toy.builder.data_path.name)


def test_the_same_wherever_it_lies_and_whenever_it_was_built(toy, copy, tmp_path):
    other = Dataset.open("toy_orchestra/tiny", copy.parents[2])
    assert other.info.fingerprint == toy.info.fingerprint != ""
    assert other.info.name == toy.name
    again = registry.build("toy_orchestra/tiny", data_dir=tmp_path / "again")
    assert fingerprint(again) == toy.info.fingerprint


@pytest.mark.parametrize("what", ["byte", "order"])
def test_another_for_another_content(toy, copy, what):
    shards = sorted(copy.glob("*train*"))
    assert len(shards) >= 2
    if what == "byte":
        content = bytearray(shards[0].read_bytes())
        content[10] ^= 1
        shards[0].write_bytes(content)
    else:
        spare = copy.parent / "spare"
        for old, new in ((shards[0], spare), (shards[1], shards[0]), (spare, shards[1])):
            old.rename(new)
    changed = registry.tfds.builder_from_directory(copy)
    assert fingerprint(changed) != toy.info.fingerprint


def test_joined_and_changed_for_ablations(toy, copy):
    class Part(Dataset):
        def __init__(self, splits, mark):
            self.info = toy.info.__class__(splits, (), fingerprint=mark, name=f"part/{mark}")
            self.metadata = {}

        name = property(lambda self: self.info.name)

    a, b, c = Part({"x": 1}, "a"), Part({"y": 1}, "b"), Part({"y": 1}, "c")
    joined = JoinedDataset([a, b]).info
    assert joined.name == "part/a+part/b"
    marks = {joined.fingerprint, JoinedDataset([b, a]).info.fingerprint}
    marks |= {JoinedDataset([a, c]).info.fingerprint, "a", "b"}
    assert len(marks) == 5
    config = settings()
    config.data.missing_categories = 3
    gaps = training_data(config, toy).info
    assert gaps.fingerprint == toy.info.fingerprint
    assert gaps.num_examples["train"] < toy.info.num_examples["train"]

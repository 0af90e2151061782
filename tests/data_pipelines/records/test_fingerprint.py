"""A data set's fingerprint: the same wherever it lies, another when its content is."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from tensorflow_datasets.core.example_parser import tf_example_pb2

from avloc.data_pipelines import registry
from avloc.data_pipelines.dataset import Dataset, JoinedDataset
from avloc.data_pipelines.records.fingerprint import NOTE, fingerprint, stored_fingerprint
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


def rewrite(shard: Path, change) -> None:
    """Stores what `change` makes of each of a shard's records, an `Example`."""
    reader = ArrayRecordReader(str(shard))
    records = [tf_example_pb2.Example.FromString(x) for x in reader.read(0, reader.num_records())]
    reader.close()
    shard.unlink()
    writer = ArrayRecordWriter(str(shard), "group_size:1")
    for place, record in enumerate(records):
        writer.write(change(place, record))
    writer.close()


def reversed_fields(place, record) -> bytes:
    """The record as another process may store it: with its fields in another order."""
    parts = [
        type(record.features)(feature={name: value}).SerializeToString()
        for name, value in sorted(record.features.feature.items(), reverse=True)
    ]
    inner = b"".join(parts)  # entries of a map may stand in any order
    size, n = b"", len(inner)
    while n > 127:
        size, n = size + bytes([n & 127 | 128]), n >> 7
    return b"\n" + size + bytes([n]) + inner


def relabelled(place, record) -> bytes:
    if place == 3:
        record.features.feature["objects/label"].int64_list.value[0] += 1
    return record.SerializeToString()


def reopened(folder):
    return registry.tfds.builder_from_directory(folder)


def test_the_order_in_which_fields_are_stored_is_no_content(toy, copy):
    for shard in copy.glob("*array_record*"):
        rewrite(shard, reversed_fields)
    again = reopened(copy)
    assert stored_fingerprint(again) != stored_fingerprint(toy.builder)
    assert fingerprint(again) == toy.info.fingerprint
    assert Dataset(again).source("train")[5]["id"] == toy.source("train")[5]["id"]


@pytest.mark.parametrize("what", ["byte", "order", "label", "classes"])
def test_another_for_another_content(toy, copy, what):
    shards = sorted(copy.glob("*-cocktail_*"))
    assert len(shards) >= 2 and fingerprint(reopened(copy)) == toy.info.fingerprint
    if what == "byte":
        content = bytearray(shards[0].read_bytes())
        content[len(content) // 15 * 7] ^= 1
        shards[0].write_bytes(content)
    elif what == "label":
        rewrite(shards[0], relabelled)
    elif what == "classes":
        file = copy / "metadata.json"
        about = json.loads(file.read_text())
        about["class_names"] = about["class_names"][::-1]
        file.write_text(json.dumps(about))
    else:
        spare = copy.parent / "spare"
        for old, new in ((shards[0], spare), (shards[1], shards[0]), (spare, shards[1])):
            old.rename(new)
    assert fingerprint(reopened(copy)) != toy.info.fingerprint


def test_what_is_noted_is_not_read_again_and_can_be_lost(toy, copy, monkeypatch):
    assert fingerprint(reopened(copy)) == toy.info.fingerprint
    (copy / NOTE).write_text("[null")
    assert fingerprint(reopened(copy)) == toy.info.fingerprint
    with monkeypatch.context() as patch:
        patch.setattr("avloc.data_pipelines.records.fingerprint.ArrayRecordReader", None)
        assert fingerprint(reopened(copy)) == toy.info.fingerprint
    (copy / NOTE).unlink()
    (copy / NOTE).mkdir()  # as where nothing can be written
    assert fingerprint(reopened(copy)) == toy.info.fingerprint
    assert not list(copy.glob(".*"))


def test_runs_of_before_still_know_their_data(toy):
    then = replace(toy.info, fingerprint=stored_fingerprint(toy.builder), stored="")
    assert then.fingerprint != toy.info.fingerprint and then.same_data(toy.info)
    assert toy.info.same_data(replace(toy.info, stored="built again"))
    assert not replace(then, fingerprint="f").same_data(toy.info)
    assert not then.same_data(replace(toy.info, stored="built again"))


def test_joined_and_changed_for_ablations(toy, copy):
    class Part(Dataset):
        def __init__(self, splits, mark):
            self.info = toy.info.__class__(
                splits, (), fingerprint=mark, name=f"part/{mark}", stored=f"stored {mark}"
            )
            self.metadata = {}

        name = property(lambda self: self.info.name)

    a, b, c = Part({"x": 1}, "a"), Part({"y": 1}, "b"), Part({"y": 1}, "c")
    joined = JoinedDataset([a, b]).info
    assert joined.name == "part/a+part/b"
    # As an earlier avloc joined them.
    assert joined.stored == hashlib.sha256(b"stored a stored b").hexdigest()[:24]
    marks = {joined.fingerprint, JoinedDataset([b, a]).info.fingerprint}
    marks |= {JoinedDataset([a, c]).info.fingerprint, "a", "b"}
    assert len(marks) == 5
    config = settings()
    config.data.missing_categories = 3
    gaps = training_data(config, toy).info
    assert gaps.fingerprint == toy.info.fingerprint
    assert gaps.num_examples["train"] < toy.info.num_examples["train"]

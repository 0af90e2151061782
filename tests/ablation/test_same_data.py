"""The runs of a table are of one state of a data set."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from avloc.ablation.same_data import require_same_data
from avloc.configs.csol import base
from avloc.types import DatasetInfo


def cell(folder, name, fingerprint=None):
    """A run of the data set `name`, which has begun if it has a fingerprint."""
    folder.mkdir()
    config = base()
    config.data.name = name
    if fingerprint is not None:
        about = asdict(DatasetInfo({"train": 9}, ("a",), fingerprint=fingerprint))
        (folder / "data.json").write_text(json.dumps(about))
    return SimpleNamespace(folder=folder, config=config)


def test_rows_on_different_data_are_refused(tmp_path):
    a, b = cell(tmp_path / "a", "toy", "1"), cell(tmp_path / "b", "toy", "1")
    other, fresh = cell(tmp_path / "other", "music", "3"), cell(tmp_path / "fresh", "toy")
    now = DatasetInfo({"train": 9}, ("a",), fingerprint="2", stored="1")
    require_same_data([a, b, other, fresh], {})
    require_same_data([a, b, other, fresh], {"toy": now})  # as an earlier avloc knew it
    c = cell(tmp_path / "c", "toy", "2")
    require_same_data([a, c], {"toy": now})
    said = rf"{tmp_path}/c was trained on another toy than {tmp_path}/a \(fingerprint 2, not 1\)"
    with pytest.raises(ValueError, match=said):
        require_same_data([a, c], {})
    with pytest.raises(ValueError, match="trained on another toy than the data set as it is now"):
        require_same_data([b], {"toy": DatasetInfo({"train": 9}, ("a",), fingerprint="2")})

"""Config files are found, and fields are set by name, each kept to its type."""

import pytest
from ml_collections import ConfigDict

from avloc.runs.experiment import differences, fields, load_config, override


@pytest.fixture
def config():
    config = ConfigDict(
        {
            "name": "toy",
            "count": 3,
            "rate": 0.5,
            "product": True,
            "blocks": (1, 2),
            "model": {"width": 64, "pool": {"kind": "max"}},
        }
    )
    config.lock()
    return config


@pytest.mark.parametrize(
    "field, text, value",
    [
        ("name", "3", "3"),
        ("name", "a=b c", "a=b c"),
        ("name", "", ""),
        ("count", "-7", -7),
        ("rate", "1e-3", 1e-3),
        ("rate", "2", 2.0),
        ("product", "False", False),
        ("product", "false", False),
        ("product", "TRUE", True),
        ("blocks", "(2, 2, 2)", (2, 2, 2)),
        ("blocks", "[1,1]", (1, 1)),
        ("blocks", "1,1", (1, 1)),
        ("model.width", "16", 16),
        ("model.pool.kind", "log_mean_exp", "log_mean_exp"),
    ],
)
def test_override(config, field, text, value):
    assert override(config, [(field, text)]) is config
    got = dict(fields(config))[field]
    assert got == value and type(got) is type(value)
    assert config.is_locked


def test_the_last_of_two_counts(config):
    assert override(config, [("count", "1"), ("count", "2")]).count == 2


@pytest.mark.parametrize(
    "field, text, sentence",
    [
        ("count", "many", "config.count must be of type int, like 3, not 'many'"),
        ("count", "1.5", "config.count must be of type int, like 3, not '1.5'"),
        ("count", "True", "config.count must be of type int, like 3, not 'True'"),
        ("rate", "true", "config.rate must be of type float, like 0.5, not 'true'"),
        ("rate", "", "config.rate must be of type float, like 0.5, not ''"),
        ("product", "1", "config.product must be of type bool, like True, not '1'"),
        ("blocks", "2", r"config.blocks must be of type tuple, like \(1, 2\), not '2'"),
        ("cuont", "1", r"there is no field config.cuont; did you mean config.count\?"),
        ("model.widht", "1", r"no field config.model.widht; did you mean config.model.width\?"),
        ("xyzzy.plugh", "1", r"there is no field config.xyzzy.plugh$"),
        ("name.x", "1", r"there is no field config.name.x"),
        ("blocks.0", "1", r"there is no field config.blocks.0"),
        ("model", "{}", r"config.model is a group of fields: name one of \['pool', 'width'\]"),
    ],
)
def test_what_does_not_fit_is_refused(config, field, text, sentence):
    before = config.to_json()
    with pytest.raises(ValueError, match=sentence):
        override(config, [(field, text)])
    assert config.to_json() == before


def test_differences_name_the_fields(config):
    other = config.copy_and_resolve_references()
    override(other, [("model.width", "32"), ("blocks", "[1,2]")])
    assert differences(config, other) == ["config.model.width: 64 there, 32 here"]
    # A config that was written as JSON has lists for tuples.
    stored = ConfigDict(config.to_dict() | {"blocks": [1, 2]})
    assert differences(stored, config) == []
    with other.unlocked():
        del other["rate"]
    assert "config.rate: 0.5 there, 'absent' here" in differences(config, other)


def test_load_config(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from avloc.configs.csol_toy import get_config as toy\ndef get_config():\n"
        "    config = toy()\n    config.seed = 5\n    return config\n"
    )
    assert load_config(file).seed == 5
    assert load_config(str(file)).is_locked


def test_load_config_finds_shipped_ones():
    for path in ("csol_toy.py", "configs/csol_toy.py", "elsewhere/configs/csol_toy.py"):
        assert load_config(path).data.name == "toy_orchestra"


def test_load_config_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"there is no config file mine.py; shipped ones: .*csol"):
        load_config("mine.py")
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"empty.py is not a config: it has no get_config"):
        load_config(empty)

"""Methods by name: ours, anyone's, and what is said of one that is not there or has a fault."""

import sys

import pytest

from avloc.training.methods import create, method_class, method_title, require
from avloc.training.methods.csol import Csol
from avloc.training.preflight import check
from avloc.types import DatasetInfo, Embeds, Separates
from tests.training.line import Line, settings
from tests.training.tiny_csol import method as tiny

FAULTY = """\
from tests.training.line import Line

class Whole(Line):
    def predict(self, variables, aux, batch):
        return batch.image

class Early(Whole):
    def phases(self):
        self.confg.epochs
        return super().phases()

class Late(Whole):
    def loss(self, variables, aux, batch, key):
        return variabels["params"]

class Greedy(Whole):
    def __init__(self, config, info, axis_name=None):
        super().__init__(config, info, axis_name)
        config.model.depth

class NoMethod:
    def init(self): ...

function = print
"""


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    yield tmp_path / "faulty.py"
    sys.modules.pop("faulty", None)


def of(name):
    return settings(method=name, clusters=3)


INFO = DatasetInfo({"train": 10, "scenes": 12})


def test_ours_and_anyones(faulty):
    assert method_class("csol") is Csol
    assert method_class("faulty:Whole").__name__ == "Whole"
    assert create(of("faulty:Whole"), INFO).info is INFO


def test_titles(faulty):
    assert [method_title(name) for name in ("c2f", "csol", "ier")] == ["C2F", "CSOL", "IEr"]
    assert method_title("faulty:Whole") == "Whole"
    assert method_title("not_installed_here.net:DeepNet") == "DeepNet"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cosl", r"config\.method is one of \['c2f', 'csol', 'csol_separation', 'ier', 'sop'\], or "
         r"package\.module:Name of your own, not 'cosl'; did you mean 'csol'\?"),
        ("nowhere:Net", "there is no module 'nowhere': install it, or run from the folder"),
        ("faulty:Eary", r"faulty\.py has no 'Eary'; did you mean 'Early'\?"),
        ("faulty:NoMethod", "is no class with phases: see docs/adding_a_method.md"),
        ("faulty:function", "is no class with init, phases: see"),
    ],
)  # fmt: skip
def test_what_is_no_method_gets_a_sentence(faulty, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        create(of(name), INFO)


def test_a_module_that_lacks_another_is_not_said_to_be_missing(faulty):
    (faulty.parent / "lacking.py").write_text("import not_installed_here\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        create(of("lacking:Net"), INFO)


def test_a_typo_is_told_with_its_place(faulty, bench):
    place = rf"'faulty:Early', fails at {faulty}:9: 'Early' object has no attribute 'confg'"
    with pytest.raises(ValueError, match=place):
        create(of("faulty:Early"), INFO)
    place = rf"'faulty:Late', fails at {faulty}:14: name 'variabels' is not defined"
    with pytest.raises(ValueError, match=place):
        check(of("faulty:Late"), bench.dataset)


def test_a_field_that_the_config_lacks_is_told_as_such(faulty):
    with pytest.raises(ValueError, match=r"reads a field that the config lacks.*depth.*add the"):
        create(of("faulty:Greedy"), INFO)


def test_a_method_of_one_stage_is_not_asked_for_a_stage_one(faulty, bench):
    with faulty.open("a") as file:
        file.write(
            "class Single(Whole):\n    def phases(self):\n        yield next(super().phases())\n"
        )
    config = of("faulty:Single")
    config.stage_one.epochs = 0
    check(config, bench.dataset)


def test_optional_abilities():
    method = tiny()
    assert require(method, Embeds, "csol") is method
    with pytest.raises(ValueError, match="method 'csol' cannot separate sounds: choose one that"):
        require(method, Separates, "csol")
    with pytest.raises(ValueError, match="method 'line' cannot embed pictures and sounds"):
        require(Line(settings(), INFO), Embeds, "line")

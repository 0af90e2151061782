"""The house rules that can be read off the source: arrows between rooms, sizes, banned imports."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs.csol import base

ROOT = Path(__file__).parents[1]
LIBRARY = ("avloc", "data_pipelines", "configs")
SOURCES = sorted(path for room in LIBRARY for path in (ROOT / room).rglob("*.py"))
TESTS = sorted(path for room in ("tests", "benchmarks") for path in (ROOT / room).rglob("*.py"))

# Room: the other rooms it may import. `avloc` is the package's own __init__.
ARROWS = {
    "avloc": {"avloc.inference"},
    "avloc.__main__": {"avloc.cli"},
    "avloc.command_line": set(),
    "avloc.types": set(),
    "avloc.safetensors": set(),
    "avloc.models": {"avloc.types"},
    "avloc.losses": {"avloc.types"},
    "avloc.clustering": {"avloc.types"},
    "avloc.evaluation": {
        "avloc.types",
        "avloc.safetensors",
        "avloc.models",
        "avloc.losses",
        "avloc.clustering",
        "data_pipelines",
    },
    "avloc.training": {
        "avloc.types",
        "avloc.safetensors",
        "avloc.models",
        "avloc.losses",
        "avloc.clustering",
        "avloc.evaluation",
        "data_pipelines",
        "configs",
    },
    "avloc.inference": {
        "avloc.types",
        "avloc.safetensors",
        "avloc.models",
        "avloc.losses",
        "avloc.clustering",
        "avloc.evaluation",
        "avloc.training",
        "data_pipelines",
    },
    "avloc.ablation": {
        "avloc.types",
        "avloc.evaluation",
        "avloc.training",
        "configs.ablations",
    },
    "data_pipelines": {"avloc.types"},
    "configs": set(),
    "configs.ablations": {"avloc.ablation"},
}
# Every room has to be listed above; only this file may import all of them.
FRONT_DOOR = "avloc.cli"
BANNED = {"tensorflow", "torch", "pickle"}
EXCEPTIONS = {
    # An unpickler that knows no name but those that an array is written with.
    "data_pipelines.annotations.synthetic_archive": {"pickle"},
    # Where torch is installed: reads `.pth` files, by `weights_only=True`.
    "avloc.training.weight_files": {"torch"},
}


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names of what a file imports; `from a import b` gives `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -(node.level - 1) or None] if node.level else []
            module = ".".join([*parents, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room that a module lies in: `avloc.models` of `avloc.models.heads`; None: not ours."""
    top, *rest = module.split(".")
    if top not in LIBRARY:
        return None
    if module.startswith("configs.ablations"):
        return "configs.ablations"
    if top != "avloc" or not rest:
        return top
    if rest[0] in ("load", "draw"):  # names of the package, which gets them from there
        return "avloc.inference"
    place = ROOT / "avloc" / rest[0]
    return f"avloc.{rest[0]}" if place.is_dir() or place.with_suffix(".py").is_file() else top


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows_of(path: Path, source: str) -> set[str]:
    """The rooms, other than its own, that a file imports; avloc/__init__.py is open to all."""
    module = dotted(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    rooms = {room_of(name) for name in imported(ast.parse(source), package)}
    return rooms - {None, "avloc", room_of(module)}


def test_the_arrow_reader_sees_every_way_to_import():
    path = ROOT / "avloc" / "models" / "heads.py"
    for source in (
        "import avloc.training.loop",
        "from avloc.training import loop",
        "from avloc import training",
        "from ..training.loop import fit",
        "from .. import training",
        "def late():\n    import avloc.training",
    ):
        assert "avloc.training" in arrows_of(path, source), source
    assert arrows_of(path, "from avloc import load") == {"avloc.inference"}
    inside = "from . import resnet\nfrom avloc.models.resnet import ResNet\nimport jax, avloc"
    assert arrows_of(path, inside) == set()


def test_every_room_has_a_rule():
    assert {room_of(dotted(path)) for path in SOURCES} - {FRONT_DOOR} == set(ARROWS)


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_no_arrow_points_back(path: Path):
    room = room_of(dotted(path))
    if room == FRONT_DOOR:
        return
    back = arrows_of(path, path.read_text(encoding="utf-8")) - ARROWS[room]
    assert not back, f"{path.relative_to(ROOT)} imports {sorted(back)}; {room} must not"


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_no_tensorflow_torch_pickle_or_shell(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tops = {name.split(".")[0] for name in imported(tree, dotted(path))}
    tops -= EXCEPTIONS.get(dotted(path), set())
    assert not tops & BANNED, f"{path.relative_to(ROOT)} imports {sorted(tops & BANNED)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert "weights_only=True" in map(ast.unparse, node.keywords)
        if isinstance(node, ast.keyword) and node.arg in ("shell", "allow_pickle"):
            allowed = isinstance(node.value, ast.Constant) and node.value.value is False
            assert allowed, f"{path.relative_to(ROOT)}:{node.value.lineno} sets {node.arg}"


def test_no_file_is_long_and_none_is_called_utils():
    for path in [*SOURCES, *TESTS]:
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: split it"
        assert path.stem not in ("utils", "util"), f"{path.relative_to(ROOT)}: say what it is about"


def experiments() -> list[str]:
    files = sorted((ROOT / "configs").glob("*.py"))
    return [path.stem for path in files if "def get_config" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", experiments())
def test_a_config_is_locked_and_says_its_command(name: str):
    module = importlib.import_module(f"configs.{name}")
    config = module.get_config()
    assert config.is_locked
    assert config.data.name, "an experiment names its data set"
    assert f"--config configs/{name}.py" in re.sub(r"\s+", " ", module.__doc__)


def leaves(config: ConfigDict) -> Iterator[str]:
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from leaves(value)
        else:
            yield name


def words_of_code(path: Path) -> Iterator[str]:
    """Names that a file reads or declares, and strings such as the keys of a dictionary."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(attr=word) | ast.arg(arg=word) | ast.Constant(value=str(word)):
                yield word
            case ast.AnnAssign(target=ast.Name(id=word)):
                yield word


def test_every_config_field_is_read():
    used = {word for path in (ROOT / "avloc").rglob("*.py") for word in words_of_code(path)}
    unread = sorted(set(leaves(base())) - used)
    assert not unread, f"configs/csol.py has fields that nothing in avloc/ reads: {unread}"

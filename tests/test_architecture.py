"""The house rules that can be read off the source: floors, sizes, banned imports."""

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from avloc.configs.csol import base

ROOT = Path(__file__).parents[1]
LIBRARY = ("avloc", "data_pipelines", "configs")
# Top folders whose modules are `avloc.NAME`.
INSTALLED_INSIDE = ("data_pipelines", "configs")
SOURCES = sorted(path for room in LIBRARY for path in (ROOT / room).rglob("*.py"))
TESTS = sorted(path for room in ("tests", "benchmarks") for path in (ROOT / room).rglob("*.py"))

# The house, lowest floor first: a room may import those of its own floor that stand before it, and
# those of all floors below. `avloc` is the package's own __init__, which opens `inference` lazily.
FLOORS = (
    (
        "avloc.inputs",
        "avloc.naming",
        "avloc.types",
        "avloc.progress",
        "avloc.safetensors",
        "avloc.npy",
        "avloc.json_files",
        "avloc.faults",
        "avloc.whole_files",
        "avloc.command_line",
    ),
    ("avloc.configs",),
    ("avloc.data_pipelines",),
    ("avloc.losses", "avloc.clustering", "avloc.separation", "avloc.drawing"),
    ("avloc.models", "avloc.machine", "avloc.evaluation"),
    ("avloc.runs",),
    ("avloc.training",),
    ("avloc.scoring",),
    ("avloc.reports", "avloc.inference", "avloc.ablation"),
    ("avloc.configs.ablations", "avloc"),
)
# The rooms that a few must not know, though they stand below.
CLOSED = {
    "avloc.drawing": {"avloc.configs"},
    "avloc.losses": {"avloc.configs", "avloc.data_pipelines"},
    "avloc.clustering": {"avloc.configs", "avloc.data_pipelines"},
    "avloc.separation": {"avloc.configs", "avloc.data_pipelines"},
    "avloc.models": {"avloc.configs", "avloc.data_pipelines", "avloc.drawing"},
    "avloc.machine": {"avloc.configs", "avloc.data_pipelines", "avloc.losses"},
    "avloc.evaluation": {"avloc.configs", "avloc.data_pipelines"},
    "avloc.data_pipelines": {"avloc.configs"},
}
# Every room has to be listed above; only these may import all of them.
FRONT_DOOR = {"avloc.cli", "avloc.verbs"}
BANNED = {"tensorflow", "torch", "pickle"}
EXCEPTIONS = {
    # An unpickler that knows no name but those that an array is written with.
    "avloc.data_pipelines.annotations.synthetic_archive": {"pickle"},
    # Where torch is installed: reads `.pth` files, by `weights_only=True`.
    "avloc.runs.weight_files": {"torch"},
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
    if top != "avloc":
        return None
    if not rest:
        return top
    if module.startswith("avloc.configs.ablations"):
        return "avloc.configs.ablations"
    if rest[0] in ("load", "draw"):  # names of the package, which gets them from there
        return "avloc.inference"
    place = ROOT / (rest[0] if rest[0] in INSTALLED_INSIDE else f"avloc/{rest[0]}")
    return f"avloc.{rest[0]}" if place.is_dir() or place.with_suffix(".py").is_file() else top


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] in INSTALLED_INSIDE:
        parts = ("avloc", *parts)
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
    inside = "from . import resnet\nfrom avloc.models.pooling import pooled\nimport jax, avloc"
    assert arrows_of(path, inside) == set()


def below(room: str) -> set[str]:
    """The rooms that a room may import."""
    order = [name for floor in FLOORS for name in floor]
    return set(order[: order.index(room)]) - CLOSED.get(room, set())


def test_every_room_stands_on_a_floor():
    rooms = {room_of(dotted(path)) for path in SOURCES} - FRONT_DOOR - {"avloc.__main__"}
    assert rooms == {name for floor in FLOORS for name in floor}


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_no_arrow_points_up(path: Path):
    room = room_of(dotted(path))
    if room in FRONT_DOOR:
        return
    allowed = FRONT_DOOR if room == "avloc.__main__" else below(room)
    up = arrows_of(path, path.read_text(encoding="utf-8")) - allowed
    assert not up, f"{path.relative_to(ROOT)} imports {sorted(up)}; {room} must not"


def test_no_room_is_a_wide_flat_floor():
    # Configs are no room to walk through, but a list to choose from.
    folders = Counter(path.parent for path in SOURCES if path.parent.name != "configs")
    wide = {str(folder.relative_to(ROOT)): n for folder, n in folders.items() if n > 20}
    assert not wide, f"more than 20 files side by side: {wide}; give them rooms"


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


# Which arrays NumPy itself reads: those that avloc wrote a moment ago, and a user's own input.
LOADED = {
    "avloc.data_pipelines.builders.decoding",
    "avloc.data_pipelines.records.stored_maps",
    "avloc.inference.load_example",
}
OTHER_READERS = {"imread", "imdecode", "builder_from_directory", "AudioResampler", "resample_poly"}
READ_BY = {  # files of ours that may call them, behind a check
    "avloc.data_pipelines.records.opening": {"builder_from_directory"},
    "avloc.data_pipelines.media.waveform": {"AudioResampler"},
}
PROGRAMS = sorted(
    path for room in ("scripts", "benchmarks") for path in (ROOT / room).rglob("*.py")
)


def calls(source: str) -> Iterator[tuple[str, set[str | None]]]:
    """What a text calls, by its last two names, and the names of the arguments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ".".join(ast.unparse(node.func).split(".")[-2:])
            yield name, {keyword.arg for keyword in node.keywords}


def careless(module: str, source: str) -> list[str]:
    """Calls by which a file of anyone could start a program, import a module or fill memory."""
    found = []
    for name, arguments in calls(source):
        last = name.rpartition(".")[2]
        if name == "Image.open" and "formats" not in arguments:
            found.append(name)
        if name == "np.load" and module not in LOADED:
            found.append(name)
        if last in OTHER_READERS - READ_BY.get(module, set()):
            found.append(last)
    return found


def test_the_reader_of_calls_sees_careless_ones():
    for source in (
        "Image.open(x)",
        "PIL.Image.open(file, mode='r')",
        "cv2.imread(x)",
        "np.load(x)",
    ):
        assert len(careless("avloc.x", source)) == 1, source
    assert not careless("avloc.x", "Image.open(x, formats=['PNG']); path.open(); np.loadtxt")


@pytest.mark.parametrize("path", [*SOURCES, *PROGRAMS], ids=lambda path: path.stem)
def test_files_of_anyone_are_read_with_care(path: Path):
    found = careless(dotted(path), path.read_text(encoding="utf-8"))
    assert not found, (
        f"{path.relative_to(ROOT)} calls {found}: pictures are read by media.pictures, arrays by "
        "avloc.npy, data folders by records.opening, sounds by media.waveform"
    )


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
    module = importlib.import_module(f"avloc.configs.{name}")
    config = module.get_config()
    assert config.is_locked
    assert config.data.name, "an experiment names its data set"
    said = re.sub(r"\s+", " ", module.__doc__)
    assert re.search(rf"--config (configs/{name}\.py|{name}) ", said)


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

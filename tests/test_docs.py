"""What the documentation says is so: its commands, fields, paths, links, code and sentences."""

import ast
import importlib
import json
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import avloc
from avloc.ablation.grid import Grid, check_stage, load_ablation
from avloc.cli import _parser
from avloc.command_line import split_off_fields
from avloc.configs import c2f, csol, ier, sop
from avloc.data_pipelines import registry
from avloc.data_pipelines.builders.toy_orchestra.toy_orchestra_dataset_builder import Builder
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.scenes.plan import RECIPES
from avloc.inference.video import localize_video
from avloc.runs import experiment
from avloc.runs.checkpoints import record_info, save_stage
from avloc.runs.folder import RunFolder
from avloc.training.loading import load_run
from avloc.training.loop import train
from avloc.training.methods import create, method_title
from avloc.training.preflight import check
from avloc.types import Batch, DatasetInfo, TrainState
from tests.videos import write_video

pytestmark = pytest.mark.usefixtures("in_haste")

ROOT = Path(__file__).parents[1]
make_figures, make_showcase = (
    SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / f"make_{what}.py")))
    for what in ("figures", "showcase")
)
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
TINY = (
    ("data.name", "toy_orchestra/tiny"),
    ("batch_size", "8"),
    ("image_size", "32"),
    ("model.width", "4"),
    ("model.blocks", "(1, 1, 1, 1)"),
    ("clusters", "10"),
    ("stage_one.epochs", "1"),
    ("stage_two.epochs", "1"),
)


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """Every command of a page's shell blocks, and each one between backticks that is avloc's."""
    lines = [
        line
        for block in blocks(page, "bash")
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip()
    ]
    inline = re.findall(r"`(avloc [a-z]+ -[^`…]*)`", page.read_text())
    return [shlex.split(line, comments=True) for line in [*lines, *inline]]


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_commands_are_those_that_there_are(page: Path):
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in targets, words
        elif words[0] == "avloc":
            rest, fields = split_off_fields(words[1:])
            args = _parser().parse_args(rest)
            if getattr(args, "config", None) and f"as `{args.config}`" not in page.read_text():
                if rest[0] == "ablate":
                    assert not fields, words
                    load_ablation(args.config)
                else:
                    experiment.override(experiment.load_config(args.config), fields)
        elif words[:2] == ["pip", "install"]:
            (extra,) = re.findall(r"^avloc\[(\w+)\]$", words[2])
            assert (
                extra
                in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
                    "optional-dependencies"
                ]
            )
        elif words[0].endswith("python") and words[1] == "-m":
            importlib.import_module(words[2]).make_parser().parse_args(words[3:])
        else:
            assert words[0].endswith("python") and (ROOT / words[1]).is_file(), words


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_fields_of_the_config_are_there(page: Path):
    bases = (c2f.base(), csol.base(), ier.base(), sop.base())
    known = {name for config in bases for name, _ in experiment.fields(config)}
    groups = {name.split(".")[0] for name in known if "." in name}
    text = page.read_text()
    named = set(re.findall(r"(?<!\w)config\.([a-z_]+(?:\.[a-z_]+)*)", text))
    named -= {"json", "lock", "method"}
    bare = re.findall(r"`([a-z_]+)(\.[a-z_.]+)\b", text)
    named |= {group + rest for group, rest in bare if group in groups and rest != ".json"}
    for name in named - {"model.localize"}:  # of `avloc.load`
        assert name in known or any(k.startswith(f"{name}.") for k in known), name


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_paths_and_names_of_code_are_there(page: Path):
    source = "\n".join(
        path.read_text()
        for room in ("avloc", "data_pipelines", "configs")
        for path in (ROOT / room).rglob("*.py")
    )
    for words in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
        path = re.fullmatch(r"(?:avloc|data_pipelines|configs|docs|tests|scripts)/[a-z_./]+", words)
        if path:
            assert (ROOT / words).exists(), words
        for kind, name in re.findall(r"^([A-Z][a-z]\w*)\.(\w+)$", words):
            assert f"class {kind}" in source and f"def {name}(" in source, words


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_names_are_in_the_files_that_they_are_said_to_be_in(page: Path):
    said = r"((?:`\w+`(?:, | and )?)+) in \[[^\]]+\]\(([^)]+\.py)\)"
    for names, target in re.findall(said, page.read_text()):
        source = (page.parent / target).read_text()
        for name in re.findall(r"\w+", names.replace(" and ", " ")):
            assert re.search(rf"^(?:def |class )?{name}\b", source, re.M), (name, target)


def rows(page: Path, pattern: str) -> list[tuple[str, ...]]:
    """Groups of a pattern in each line of a table that it fits."""
    found = [re.search(pattern, line) for line in page.read_text().splitlines() if line[:1] == "|"]
    return [match.groups() for match in found if match]


def test_values_of_ier_are_those_of_its_configs():
    page = ROOT / "docs" / "how_it_works.md"
    paper = dict(experiment.fields(ier.paper(ier.base())))
    toy = dict(experiment.fields(experiment.load_config(ROOT / "configs" / "ier_toy.py")))
    found = rows(page, r"\| `([a-z_.]+)` \| `([^`]+)` \| `([^`]+)` \|$")
    assert len(found) > 4
    for field, *values in found:
        said = [ast.literal_eval(value) for value in values]
        assert said == [paper[field], toy[field]], field


def test_recipes_of_scenes_are_as_shown():
    page = ROOT / "docs" / "how_it_works.md"
    number = r" (\d) \|"
    found = rows(page, rf"^\| `(\w+)` \|{number * 3} (\d) x (\d) \|{number} (.+) \|$")
    assert [name for name, *_ in found] == list(RECIPES)
    scenes = next(c for c in Builder.BUILDER_CONFIGS if c.name == "wild").scenes
    for name, sounding, silent, offscreen, height, width, gain, splits in found:
        recipe = RECIPES[name]
        shown = (recipe.sounding, recipe.silent, recipe.offscreen, *recipe.grid, recipe.gain_db)
        assert tuple(map(int, (sounding, silent, offscreen, height, width, gain))) == shown
        assert {split for split in scenes if scenes[split].recipe == name} == set(
            re.findall(r"\w+", splits)
        )


def test_shipped_ablations_are_listed_with_their_runs():
    files = (ROOT / "configs" / "ablations").glob("*.py")
    grids = {
        path.stem: Grid(load_ablation(path), "nowhere")
        for path in files
        if "def get_ablation" in path.read_text()
    }
    listed = rows(ROOT / "docs" / "ablations.md", r"^\| `(\w+)` \| (\d+) \|")
    assert {name: int(runs) for name, runs in listed} == {
        name: len(grid.choose()) for name, grid in grids.items()
    }


def test_the_ablation_of_the_page_is_one(tmp_path):
    [block] = blocks(ROOT / "docs" / "ablations.md", "python")
    (tmp_path / "mine.py").write_text(block)
    grid = Grid(load_ablation(tmp_path / "mine.py"), tmp_path / "w")
    assert list(grid.rows) == ["scale_1.0", "scale_5.0", "scale_20.0"]
    assert [run.config.stage_two.scale for run in grid.cells["scale_20.0"].values()] == [20.0] * 3
    info = DatasetInfo({"train": 64, "cocktail_train": 16})
    for run in grid.choose():
        check_stage(run, info)


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").iterdir():
        with Image.open(picture) as image:
            assert image.format in ("PNG", "JPEG", "WEBP")
            most = make_figures.MOST_BYTES
            if getattr(image, "n_frames", 1) > 1:
                most = make_showcase.ANIMATION_BYTES
        assert picture.stat().st_size <= most, picture


def sentences() -> list[str]:
    """Texts of the source, with `…` where something is filled in."""
    found = []
    for room in ("avloc", "data_pipelines"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                    found.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def test_every_sentence_explained_is_one_that_is_said():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    said = sentences()
    explained = [
        sentence
        for cell in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
        for sentence in re.findall(r"`([^`]+)`", cell)
    ]
    assert len(explained) > 25
    for sentence in explained:
        parts = [re.escape(part) for part in sentence.split("…") if part.strip(" `")]
        pattern = re.compile(".*".join(parts), re.DOTALL)
        assert any(pattern.search(text) for text in said), sentence


# The code.


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    registry.build("toy_orchestra/tiny", data_dir=folder)
    dataset = Dataset(registry.open_dataset("toy_orchestra/tiny", folder))
    dataset.place = folder
    return dataset


def tiny(config: ConfigDict) -> ConfigDict:
    return experiment.override(config, TINY)


@pytest.fixture(scope="module")
def place(tmp_path_factory, dataset) -> Path:
    """A folder with a finished run of an untrained network in `runs/demo`."""
    place = tmp_path_factory.mktemp("docs")
    config = tiny(experiment.load_config(ROOT / "configs" / "csol_toy.py"))
    run = RunFolder(place / "runs" / "demo")
    run.open_for_training(config)
    record_info(run, dataset.info)
    method = create(config, dataset.info)
    batch = Batch.of(np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 16000), np.int16))
    variables, aux = jax.jit(method.init)(jax.random.key(0), batch)
    aux["dictionary"] = jax.random.normal(jax.random.key(1), aux["dictionary"].shape)
    for stage in ("stage_one", "stage_two"):
        save_stage(run, stage, TrainState(variables, {}, aux, jnp.zeros((), jnp.int32)))
    return place


def test_the_readme_from_python(place, dataset, monkeypatch, capsys):
    monkeypatch.chdir(place)
    scene = dataset.source("cocktail_test")[0]
    given = {"image": scene["frames"][0], "waveform": scene["waveform"], "sample_rate": 16000}
    [block] = blocks(ROOT / "README.md", "python")
    exec(block.replace('"runs/demo"', '"runs/demo", threshold=0'), given)
    assert given["picture"].shape == given["image"].shape
    assert "object 3" in capsys.readouterr().out


def test_localization_json_is_as_shown(place, monkeypatch, capsys):
    model = avloc.load(place / "runs" / "demo")
    model.config.unlock()
    model.config.inference.sounding = 0.0
    video = write_video(place / "concert.mp4", seconds=1.0, size=(48, 32), rate=12)
    localize_video(model, video, place / "localized", progress=False)
    page = ROOT / "docs" / "own_videos.md"
    [shown] = map(json.loads, blocks(page, "json"))
    written = json.loads((place / "localized" / "concert.localization.json").read_text())
    assert list(written) == list(shown)
    ours, theirs = (record["seconds"][0] for record in (shown, written))
    assert list(theirs) == list(ours)
    assert list(theirs["classes"][0]) == list(ours["classes"][1])
    assert list(theirs["classes"][0]["boxes"][0]) == list(ours["classes"][1]["boxes"][0])
    [block] = blocks(page, "python")
    monkeypatch.chdir(place)
    exec(block, {})
    assert capsys.readouterr().out.startswith("0 object 1, object 2")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project's folder, which avloc is run from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in ("sound_prototypes", "patches"):
        if name not in before:
            sys.modules.pop(name, None)


def test_the_method_of_the_page_trains_and_predicts_from_a_project_of_its_own(dataset, project):
    method, config = blocks(ROOT / "docs" / "adding_a_method.md", "python")
    (project / "sound_prototypes.py").write_text(method)
    (project / "my_config.py").write_text(config)
    config = experiment.load_config("my_config.py")
    assert config.is_locked
    config = tiny(config)
    run = RunFolder(project / "run")
    check(config, dataset, run)
    run.open_for_training(config)
    state = train(config, run, dataset)
    assert int(state.step) == 8
    lengths = np.linalg.norm(np.asarray(state.aux["prototypes"]), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    assert method_title(config.method) == "Sound prototypes"

    loaded = load_run(run.path)
    batch = Batch.of(np.full((3, 32, 32, 3), 90, np.uint8), np.ones((3, 16000), np.int16))
    found = jax.jit(loaded.method.predict)(loaded.variables, loaded.aux, batch)
    assert found.maps.shape == (3, 4, 4, 10) and found.cluster.shape == (3,)
    np.testing.assert_allclose(found.scores.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(found.maps.sum(-1), found.localization, atol=1e-5)


def test_the_backbone_of_the_page_trains(dataset, project):
    [backbone] = blocks(ROOT / "docs" / "adding_a_backbone.md", "python")
    (project / "patches.py").write_text(backbone)
    config = tiny(experiment.load_config("csol_toy.py"))
    config = experiment.override(config, [("model.visual", "patches:make")])
    for name in ("warmup_epochs", "epochs"):
        config.stage_one[name] = 1
    run = RunFolder(project / "run")
    check(config, dataset, run)
    run.open_for_training(config)
    state = train(config, run, dataset)
    kernel = state.variables["params"]["visual"]["Conv_0"]["kernel"]
    assert kernel.shape == (16, 16, 3, 32)
    assert state.aux["dictionary"].shape == (10, 32)
    assert load_run(run.path).config.model.visual == "patches:make"


def test_figures_are_made_from_a_run(place, dataset, capsys):
    asked = ["--workdir", str(place / "runs" / "demo"), "--data-dir", str(dataset.place)]
    assert make_figures.main([*asked, "--out", str(place / "images")]) == 0
    file = place / "images" / "method.png"
    assert file.stat().st_size <= make_figures.MOST_BYTES
    with Image.open(file) as image:
        assert image.width > 900 and len(image.convert("RGB").getcolors(2**24)) > 50
    assert make_figures.main([*asked, "--scene", "16"]) == 2
    assert "there is no scene 16: the split holds 16" in capsys.readouterr().err

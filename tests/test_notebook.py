"""The notebook, run whole at a tiny size."""

import os
from pathlib import Path

import av
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "colab" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The folder that the notebook worked in."""
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def notebook(place) -> nbformat.NotebookNode:
    """The notebook with its outputs."""
    environment = os.environ | {
        "AVLOC_NOTEBOOK_TINY": "1",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(place)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where)
    return client.execute(env=environment)


def outputs(notebook: nbformat.NotebookNode, text: str) -> list[nbformat.NotebookNode]:
    """Outputs of the one cell whose source holds `text`."""
    [cell] = [c for c in notebook.cells if c.cell_type == "code" and text in c.source]
    return cell.outputs


def shown(notebook: nbformat.NotebookNode, text: str, kind: str) -> list[str]:
    """What that cell displayed of a kind, such as `image/png`."""
    return [o.data[kind] for o in outputs(notebook, text) if kind in o.get("data", {})]


def test_it_is_stored_without_outputs_and_is_valid():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)


def test_it_trains_and_its_curves_are_of_the_whole_run(notebook, place):
    assert (place / "avloc_quickstart" / "run" / "stages" / "stage_two").is_dir()
    [curves] = shown(notebook, "draw_curves", "image/png")
    assert len(curves) > 5_000
    [table] = shown(notebook, "stored_scores(", "text/markdown")
    assert "CSOL after stage two" in table and "untrained network" in table


def test_it_shows_scenes_sound_and_maps(notebook):
    assert shown(notebook, "registry.build", "image/png")
    assert "<audio" in shown(notebook, "registry.build", "text/html")[0]
    assert shown(notebook, "avloc.draw", "image/png")
    said = [o.text for o in outputs(notebook, "avloc.draw") if o.output_type == "stream"]
    assert "scores (4, 10)" in "".join(said)


def test_it_localizes_a_video_and_shows_it(notebook, place):
    assert "<video" in shown(notebook, "localize_video(", "text/html")[0]
    with av.open(str(place / "avloc_quickstart/localized/scenes.localized.mp4")) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 48

"""The documentation site: it builds without a warning, holds every page, and stays offline."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))
# Of each page, names that are documented and a sentence of theirs.
API = {
    "model": (
        ["avloc.inference.model.load", "avloc.inference.localization.draw"],
        "Finds what sounds in an image, or in each image of a batch.",
    ),
    "types": (
        ["avloc.types.Batch", "avloc.types.Method.predict"],
        "index (Int[Array, 'B']) \N{EN DASH} place of the item in its split",
    ),
    "data": (["avloc.data_pipelines.registry.open_dataset"], "The folder of data sets"),
    "methods": (["avloc.training.methods.create"], "there is no such method"),
    "models": (["avloc.models.AudioVisualNet", "avloc.models.ResNet"], "Pure Flax modules"),
    "losses": (["avloc.losses.match_bce"], "Binary cross-entropy of matches"),
    "clustering": (
        ["avloc.clustering.kmeans.kmeans", "avloc.clustering.nmi"],
        "The category of each cluster.",
    ),
    "evaluation": (
        ["avloc.evaluation.evaluate", "avloc.evaluation.Protocol"],
        "How a set of predictions is scored.",
    ),
    "map_scores": (["avloc.scoring.map_scores.score_maps"], "Scores the maps at a path."),
}


def make_site(folder: Path, config: str = "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-f", config, "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = make_site(folder)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


def text(page: Path) -> str:
    """What a reader sees of a page, spaces joined."""
    shown = html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))
    return re.sub(r"\s+", " ", shown)


def test_every_page_is_there_under_its_own_title(site):
    for page in PAGES:
        title = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()[0]
        shown = (site / page.with_suffix(".html")).read_text(encoding="utf-8")
        assert re.search(rf"<h1[^>]*>{re.escape(title.removeprefix('# '))}<", shown), page


def test_every_page_is_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    listed = set(re.findall(r'href="([^"#]+\.html)" class="md-nav__link', home))
    assert listed >= {page.with_suffix(".html").as_posix() for page in PAGES} - {"index.html"}


@pytest.mark.parametrize("page", API)
def test_the_api_has_its_entries_and_their_text(site, page):
    names, sentence = API[page]
    shown = (site / "api" / f"{page}.html").read_text(encoding="utf-8")
    for name in names:
        assert f'id="{name}"' in shown
    assert sentence in text(site / "api" / f"{page}.html")


def test_links_to_source_files_lead_to_the_repository(site):
    shown = (site / "how_it_works.html").read_text(encoding="utf-8")
    links = re.findall(r'href="https://github\.com/avloc/avloc/blob/main/([^"]+)"', shown)
    assert "avloc/losses/referrer.py" in links
    assert all((ROOT / link).is_file() for link in links)
    assert 'href="../' not in shown


def test_bars_of_code_in_tables_are_as_on_github(site):
    shown = text(site / "how_it_works.html")
    assert "KL(p_v || p_a)" in shown and r"\|" not in shown


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        shown = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img|iframe|source)[^>]+src="([^"]+)"', shown)
        fetched += re.findall(
            r'<link[^>]+rel="(?:stylesheet|preconnect|icon)"[^>]+href="([^"]+)', shown
        )
        fetched += re.findall(r'<link[^>]+href="([^"]+)"[^>]+rel="(?:stylesheet|icon)"', shown)
        assert fetched and not [url for url in fetched if "//" in url], page


def test_a_broken_link_fails_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n\n[gone](gone.md) [there](#there)\n")
    whole = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    rules = re.search(r"^strict: true\nvalidation:\n(?: .*\n)+", whole, re.M)[0]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: x\ntheme: {{name: material}}\n{rules}")
    done = make_site(tmp_path / "site", str(tmp_path / "mkdocs.yml"))
    assert done.returncode == 1
    assert "gone.md" in done.stderr and "#there" in done.stderr

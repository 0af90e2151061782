"""Pages and numbers about data, of real files."""

import json

import numpy as np
import pytest
from PIL import Image

from avloc.data_pipelines.collection import Collection, Folder, Moment, Object, Recording
from avloc.reports.data import examine_built, examine_source, write_preview
from avloc.reports.data_tables import SHOWN, source_summary
from tests.drawing.test_page import Page
from tests.videos import truncate, write_video

BOX = (0.1, 0.2, 0.5, 0.6)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Folder:
    """One whole video, its copy under another id, a cut one, a short one turned."""
    folder = tmp_path_factory.mktemp("source")
    whole = write_video(folder / "whole.mp4", seconds=3, rate=12)
    (folder / "copy.mp4").write_bytes(whole.read_bytes())
    truncate(write_video(folder / "cut.mp4", seconds=3))
    write_video(folder / "short.mp4", seconds=1, rotation=90)
    return Folder(folder)


def wanted(folder: Folder) -> Collection:
    frames = tuple(
        Moment(f"short/{s}", float(s), s + 0.5, (Object(BOX, 0), Object(BOX, 1))[:s])
        for s in range(3)
    )
    many = tuple(Recording(f"gone{i:02d}", (1,)) for i in range(30))
    return Collection(
        classes=("cello", "flute"),
        splits={
            "train": (
                Recording("whole", (0,), folder.find("whole")),
                Recording("copy", (0,), folder.find("copy")),
                Recording("cut", (1,), folder.find("cut")),
                *many,
            ),
            "duet_test": (Recording("short", (0, 1), folder.find("short"), moments=frames),),
            "validation": many[:2],
        },
        notes=("one id stands in two lists",),
    )


def test_a_source_folder(source, tmp_path):
    out = tmp_path / "deep" / "out"
    findings, page_path = examine_source("music", source.root, wanted(source), out)
    assert sorted(p.name for p in out.iterdir()) == ["doctor.html", "doctor.json", "files.json"]

    data = json.loads((out / "doctor.json").read_text())
    train = data["splits"]["train"]
    assert train["count"] == {"wanted": 33, "found": 3, "missing": 30, "damaged": 1}
    assert train["missing"] == [f"gone{i:02d}" for i in range(30)]
    assert train["classes"]["flute"] == {"wanted": 31, "found": 1, "missing": 30, "damaged": 1}
    assert train["damaged"][0]["id"] == "cut" and train["items"] == 6
    duet = data["splits"]["duet_test"]
    assert duet["times"]["beyond"] == ["short/1", "short/2"] and duet["items"] == 1
    assert duet["times"]["sizes"] == {"64 x 96": 1} and duet["times"]["turned"] == ["short"]
    assert (duet["boxes"]["without_box"], duet["boxes"]["one_class"]) == (1, 1)
    assert [d["ids"] for d in data["duplicates"]] == [["copy", "whole"]]
    assert data["overlaps"] == [
        {"splits": ["train", "validation"], "count": 2, "ids": ["gone00", "gone01"]}
    ]
    assert data["blocked"] == ["validation: none of its 2 recordings was found"]
    assert data["source"] == str(source.root) and not data["decoded"]
    assert len(data["files"][str(source.find("whole"))]["sha256"]) == 64

    text = page_path.read_text()
    page = Page(text)
    assert page.open == [] and "gone19 and 10 more" in page.text and "gone20" not in page.text
    for words in ("Cannot be built: validation", "One id stands in two lists.", "cut.mp4"):
        assert words in page.text
    summary = source_summary(findings)
    assert "2 of 3 splits can be built" in summary and "| train " in summary
    assert len(findings.splits["train"].missing) > SHOWN


def test_videos_that_no_split_wants_are_named(source, tmp_path):
    collection = Collection(("cello",), {"test": (Recording("w", (0,), source.find("whole")),)})
    findings, page = examine_source("music", source.root, collection, tmp_path)
    assert findings.unused == ["copy.mp4", "cut.mp4", "short.mp4"]
    words = "Videos in the folder that no split wants: copy.mp4, cut.mp4, short.mp4"
    assert words in source_summary(findings) and words in Page(page.read_text()).text
    assert json.loads((tmp_path / "doctor.json").read_text())["unused"] == findings.unused


def test_decoding_to_the_end_is_said(source, tmp_path):
    collection = Collection(("cello",), {"test": (Recording("w", (0,), source.find("whole")),)})
    page = examine_source("music", source.root, collection, tmp_path)[1].read_text()
    assert "use --decode to find damage anywhere" in page
    page = examine_source("music", source.root, collection, tmp_path, decode=True)[1].read_text()
    assert "decoded completely." in page and "--decode" not in page
    assert json.loads((tmp_path / "doctor.json").read_text())["decoded"]


def test_a_built_data_set(toy, tmp_path):
    findings, path = examine_built("toy_orchestra/tiny", toy, tmp_path)
    page = Page(path.read_text())
    assert page.open == [] and "Objects of each category, train" in page.text
    data = json.loads((tmp_path / "doctor.json").read_text())
    sizes = {name: split["records"] for name, split in data["splits"].items()}
    assert sizes == toy.info.num_examples
    assert data["splits"]["train"]["classes"] == findings.splits["train"].classes


def test_a_preview(toy, tmp_path):
    out = tmp_path / "new" / "sheet.png"
    assert write_preview("toy_orchestra/tiny", toy, "cocktail_test", 5, out) == out
    assert [path.name for path in out.parent.iterdir()] == ["sheet.png"]
    image = np.asarray(Image.open(out))
    assert image.ndim == 3 and image.shape[1] > 1000

"""`dsol-*` on the authors' annotation files with random maps: equal to the published arithmetic.

Maps hold whole sixteenths and are enlarged by 16, so that bilinear sums are exact in float32 and
not one pixel may differ.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from avloc.evaluation import evaluate, get
from avloc.evaluation.edges import pixel_edges
from avloc.evaluation.protocols import Threshold
from avloc.types import Batch, Prediction
from tests.evaluation import published
from tests.real_annotations import REAL

NAMES = {
    13: "accordion",
    3: "acoustic_guitar",
    1: "cello",
    12: "flute",
    8: "saxophone",
    10: "trumpet",
    11: "violin",
}
PLACE = {number: i for i, number in enumerate(sorted(NAMES, key=NAMES.get))}
CLASSES = sorted(NAMES.values())
real = pytest.mark.skipif(REAL is None, reason="the authors' annotation files are not here")


def corners(boxes):
    """`[x, y, w, h]` as records hold them: `[ymin, xmin, ymax, xmax]` in float32."""
    x, y, w, h = np.asarray(boxes, np.float64).reshape(-1, 4).T
    return np.stack([y, x, y + h, x + w], -1).astype(np.float32)


def frames_of(name):
    """`[(boxes, places of categories)]` of each frame, in the order of the file."""
    entries = json.loads((REAL / "music" / name).read_text())
    return [
        ([b["normbox"] for b in e["bbox"]], [PLACE[b["category_id"]] for b in e["bbox"]])
        for e in entries.values()
    ]


def drawn(index, n):
    """`[n, 14, 14]` of an item: whole sixteenths, 0 to 1."""
    rng = np.random.default_rng(index)
    return (rng.integers(0, 17, (n, 14, 14)) / 16).astype(np.float32)


def batches(frames, size):
    """Items of random maps."""
    slots = max(len(boxes) for boxes, _ in frames)
    for start in range(0, len(frames), size):
        part = frames[start : start + size]
        batch = Batch.of(np.zeros((len(part), 1, 1, 3), np.uint8), np.zeros((len(part), 1)))
        edges = np.zeros((len(part), slots, 4), np.float32)
        labels = np.full((len(part), slots), -1)
        for i, (boxes, places) in enumerate(part):
            edges[i, : len(boxes)] = corners(boxes)
            labels[i, : len(boxes)] = places
        index = np.arange(start, start + len(part))
        yield batch._replace(
            boxes=edges,
            labels=labels,
            sounding=labels >= 0,
            offscreen=np.zeros(labels.shape, bool),
            level_db=np.zeros(labels.shape),
            index=index,
            video=index // 100,
        )


def predict_maps(n):
    def predict(batch):
        maps = np.stack([drawn(i, n) for i in batch.index]).transpose(0, 2, 3, 1)
        nothing = np.zeros((len(maps), 1), np.float32)
        return Prediction(maps, nothing, nothing, maps[..., 0], np.full(len(maps), -1))

    return predict


def check_scenes(frames, protocol, share):
    """Every scene, and the figures, against the published loops."""
    found = evaluate(
        predict_maps(len(CLASSES)), batches(frames, 128), get(protocol), names=CLASSES, draws=2
    )
    scores, quiets = [], []
    for i, ((boxes, places), row) in enumerate(zip(frames, found.items, strict=True)):
        if not boxes:
            assert row["not_scored"] == "nothing is annotated"
            continue
        by_place = {p: [b for b, q in zip(boxes, places, strict=True) if q == p] for p in places}
        score, quiet = published.scene(drawn(i, len(CLASSES)), by_place, share)
        assert row["ciou"] == pytest.approx(score, abs=1e-12)
        assert row["nsa"] == pytest.approx(quiet, abs=1e-6)
        scores.append(score)
        quiets.append(quiet)
    success, area = published.summary(scores, step=6)
    assert found.evaluated == len(scores)
    assert found.metrics["CIoU@0.3"]["value"] == pytest.approx(success, abs=1e-6)
    assert found.metrics["AUC"]["value"] == pytest.approx(area, abs=1e-6)
    assert found.metrics["NSA"]["value"] == pytest.approx(100 * np.mean(quiets), abs=1e-6)


@real
@pytest.mark.parametrize(("name", "short"), [("solotest.json", 34), ("duettest.json", 68)])
@pytest.mark.parametrize("size", [224, 256])
def test_every_edge_of_the_files_is_the_published_pixel(name, short, size):
    boxes = np.array([box for frame, _ in frames_of(name) for box in frame])
    low = (boxes[:, :2] * size).astype(int)
    high = (boxes[:, :2] * size + boxes[:, 2:] * size).astype(int)
    expected = np.concatenate([low[:, ::-1], high[:, ::-1]], -1)
    np.testing.assert_array_equal(pixel_edges(corners(boxes), size, "published"), expected)
    # The plain product differs, at far edges alone, where the sum is rounded below a boundary.
    differs = pixel_edges(corners(boxes), size) - expected
    assert differs.sum() == (differs != 0).sum() == (short if size == 224 else 0)


@real
def test_solo_whole():
    frames = frames_of("solotest.json")
    found = evaluate(predict_maps(1), batches(frames, 512), get("dsol-solo"), draws=2)
    assert (found.evaluated, found.total) == (12356, 13472)
    scores = []
    for i, ((boxes, _), row) in enumerate(zip(frames, found.items, strict=True)):
        if boxes:
            one = published.enlarge(drawn(i, 1)[0])
            scores.append(published.iou(one, published.truth(boxes), 0.1))
            assert row["iou"] == pytest.approx(scores[-1], abs=1e-12)
    success, area = published.summary(scores, step=10)
    assert found.metrics["IoU@0.5"]["value"] == pytest.approx(success, abs=1e-6)
    assert found.metrics["AUC"]["value"] == pytest.approx(area, abs=1e-6)


@real
@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_duet(every):
    frames = frames_of("duettest.json")
    assert sum(bool(boxes) for boxes, _ in frames) == 10284
    check_scenes(frames[::every], "dsol-duet", 0.2)


def test_synthetic_scenes():
    """Four boxes in the quadrants, of 640x360 frames, as the archive's rows `[x, y, w, h]`."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(60):
        low = rng.integers(0, [320, 180], (4, 2)) / [640, 360] / 2
        size = rng.integers(40, [320, 180], (4, 2)) / [640, 360] / 2
        boxes = np.concatenate([low + np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) / 2, size], -1)
        frames.append((boxes[:2].tolist(), rng.permutation(len(CLASSES))[:2].tolist()))
    check_scenes(frames, "dsol-synthetic", 0.5)


def test_a_far_edge_that_is_rounded_below_its_pixel():
    """0.7 + 0.15 of 224 pixels is 190.4; 0.3 + 0.2 is 112, and 111.99... as the published sum."""
    x, w = next(
        (k / 1280, m / 1280)
        for k in range(1, 1280)
        for m in range(1, 1280 - k)
        if (k + m) * 224 % 1280 == 0
        and int(k / 1280 * 224 + m / 1280 * 224) < (k + m) * 224 // 1280
    )
    whole = round((x + w) * 224)
    box = corners([[x, 0, w, 1]])
    assert pixel_edges(box, 224)[0, 3] == whole
    assert pixel_edges(box, 224, "published")[0, 3] == whole - 1
    assert int(x * 224 + w * 224) == whole - 1


def test_boxes_that_are_no_fractions_keep_their_edges():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.random((4000, 2, 2)), 1).reshape(-1, 4)
    np.testing.assert_array_equal(pixel_edges(boxes, 224, "published"), np.floor(boxes * 224))


def test_a_pixel_at_tau_is_silent_in_the_published_code():
    """A uniform map at exactly tau: silent there, sounding in our IEr."""
    frames = [([[0.1, 0.1, 0.5, 0.5]], [0])]
    maps = np.full((1, 14, 14, len(CLASSES)), 0.25, np.float32)
    nothing = np.zeros((1, 1), np.float32)

    def predict(batch):
        return Prediction(maps, nothing, nothing, maps[..., 0], np.full(1, -1))

    for name, quiet in (("dsol-duet", 100), ("dsol-synthetic", 100), ("ier", 0)):
        protocol = replace(get(name), silent=Threshold("absolute", 0.25))
        found = evaluate(predict, batches(frames, 1), protocol, names=CLASSES, draws=2)
        assert found.metrics["NSA"]["value"] == quiet

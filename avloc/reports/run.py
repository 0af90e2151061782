"""The report of a run: what was trained, its scores, and pictures of what it finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict
from PIL import Image, ImageDraw

from avloc.clustering.assignment import CategoryMap
from avloc.data_pipelines.checks.preview import spread
from avloc.data_pipelines.loader import evaluation_batches
from avloc.data_pipelines.media.image import centre
from avloc.drawing import rendering, tags
from avloc.drawing.charts import Curve
from avloc.drawing.page import Picture, write_report
from avloc.drawing.table import Table
from avloc.reports.info import in_a_sentence, info
from avloc.runs.folder import RunFolder
from avloc.runs.history import skipped_steps
from avloc.scoring.elsewhere import stored_elsewhere
from avloc.scoring.run import Scorer
from avloc.scoring.scores import Scores
from avloc.training.loading import load_run
from avloc.training.methods import method_title
from avloc.types import Batch, Prediction

SCENES, CLIPS = 8, 6
"""Numbers of pictures: of scenes, over all splits, and of single sources; evenly spaced."""

_SIDE = 288  # pixels of the shorter side of a drawn picture

_CURVES = {
    "loss": ("Loss", "loss"),
    "retrieval": ("Retrieval: a sound's own picture ranked first in its batch", "share"),
    "nmi": ("Agreement of clusters with true categories", "NMI"),
    "accuracy": ("Pseudo-label accuracy", "share"),
    "matching": ("KL divergence, vision against audio", "KL divergence"),
}


def write_run_report(
    run: RunFolder, scores: Scores, scorer: Scorer | None, missing: str = ""
) -> Path:
    """Writes `report.html` of a run and returns its path.

    Args:
      run: its folder.
      scores: its tables.
      scorer: predicts the pictures; None leaves them out.
      missing: why there is no scorer.
    """
    config = run.config()
    pictures = [] if scorer is None else _pictures(scorer)
    notes = [*scores.verdict_text(), *_introduction(config, scorer), *_reading(scores)]
    if pictures:
        notes.append(
            "How to read the pictures at the end. They are spread evenly over the test items, not "
            "picked by hand. Top, the truth: sounding objects have boxes in their category's "
            "colour, silent ones dashed white boxes. Bottom, what the network found: sounding "
            "objects are tinted and outlined in the category's colour, and the number is the "
            "probability that the category sounds; a region that covers over 80 % of the picture "
            "is called everywhere instead. Objects judged silent are left untinted. The "
            "caption names sounds from off screen; nothing of their category should light up."
        )
    elsewhere = []
    for data, others, remarks in stored_elsewhere(run):
        elsewhere += [replace(t, title=f"{t.title} of {data}") for t in others.tables()]
        notes.append(
            f"The last tables have scores on {data} too, which the run was not trained on. "
            + " ".join([*remarks, *others.remarks()])
        )
    skipped = skipped_steps(run)
    if skipped:
        notes.append(f"In training {skipped}.")
    if trained := in_a_sentence(info(run.path)):
        notes.append(trained)
    if missing:
        notes.append(f"There are no pictures in this report: {missing}.")
    return write_report(
        run.path / "report.html",
        title=f"{method_title(config.method)} on {config.data.name}",
        config_text=json.dumps(config.to_dict(), indent=2),
        tables=[*scores.tables(), *_cluster_tables(scores), *elsewhere],
        curves=_curves(run.epochs()),
        pictures=pictures,
        notes=notes,
    )


def _introduction(config: ConfigDict, scorer: Scorer | None) -> list[str]:
    """What a reader needs to know first."""
    data = named = ""
    shape = " (wider in scenes with wide grids)" if config.evaluation.keep_aspect else ""
    if scorer is not None:
        info = scorer.dataset.info
        sizes = ", ".join(f"{split} {count}" for split, count in info.num_examples.items())
        data = f" Items of its splits: {sizes}."
        if info.class_names:
            data += f" Its categories: {', '.join(info.class_names)}."
            named = " Its clusters were named after categories afterwards, on training clips."
    return [
        "A network learned, from pictures and their sounds alone, to find which objects in a scene "
        f"make the sound, and what they are. Training used no labels and no boxes.{named}",
        f"Method {config.method}, data set {config.data.name}, seed {config.seed}, pictures of "
        f"{config.image_size} x {config.image_size} pixels{shape}.{data}",
    ]


def _reading(scores: Scores) -> list[str]:
    """How to read the tables, and what they leave out."""
    notes = []
    if scores.splits:
        notes.append(
            "How to read the tables. IoU@t: share of clips, in %, where the predicted region and "
            "the true box overlap by t or more; CIoU@t: the same for scenes, averaged over the "
            "sounding categories. AUC: the same share averaged over all t. NSA (no-sounding area): "
            "share of the area, in %, that is correctly dark on the maps of silent categories. "
            "AUROC: how well the maps separate sounding objects from silent ones; 0.5 is chance. "
            "Off-screen false alarms: share of the sounds from off screen, in %, for which the map "
            "of their category still lights up; off-screen AUROC: how often the highest value of "
            "the map of a category that sounds in the picture is above theirs. Named precision: "
            "share of the names given by avloc localize that are right; named recall: share of the "
            "categories that sound in the picture that it names. NMI (normalised mutual "
            "information): agreement of clusters with true categories, 0 to 1; audio NMI: the same "
            "for the source that is heard most strongly."
        )
        notes.append(
            "mAP: how well the sound alone ranks what is in a mixture, averaged over categories. "
            "All heard most: share of the mixtures in which everything that sounds is heard more "
            "strongly than anything else. "
            "Precision: share of the detected sources that do sound; recall: share of the sounding "
            "sources that are detected; quiet recall: the same for sources masked by a louder one. "
            "At precision 0.8: at the lowest threshold with that precision, so that methods can be "
            "compared."
        )
        if any("ceiling" in rows for rows in scores.splits.values()):
            notes.append(
                "The centred box and the random map ignore the input. The ceiling is the score of "
                "the true boxes drawn with the cells of the network's map: about the best that the "
                "cells and the protocol allow."
            )
    return [*notes, *scores.remarks()]


def _cluster_tables(scores: Scores) -> list[Table]:
    """Purity of the clusters of the first row, the last stage."""
    tables = []
    for split, rows in scores.splits.items():
        name, evaluation = next(iter(rows.items()))
        if clusters := evaluation.clusters:
            tables.append(
                Table(
                    f"Content of the clusters: {name} (split {split})",
                    ["cluster", "named", "clips", "purity"],
                    [
                        [str(c["cluster"]), c["category"], str(c["size"]), f"{c['purity']:.2f}"]
                        for c in clusters
                    ],
                    "Purity: share of the cluster's clips that belong to the category it is named "
                    "after. Several clusters may share a name.",
                )
            )
    return tables


def _curves(epochs: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Logged values, one line per phase; TensorBoard's files have more."""
    curves = []
    for key, (title, ylabel) in _CURVES.items():
        series: dict[str, list[tuple[float, float]]] = {}
        for row in epochs:
            if key in row:
                series.setdefault(row["phase"], []).append((row["step"], row[key]))
        if series:
            curves.append(Curve(title, series, "step", ylabel))
    return curves


def _pictures(scorer: Scorer) -> list[Picture]:
    config, dataset = scorer.config, scorer.dataset
    last = load_run(scorer.run.path)
    predict, categories = scorer.predictor(last), last.categories
    names, heard = dataset.info.class_names, config.inference.sounding
    pictures = []
    there = dataset.info.num_examples
    splits = [split for split in config.data.scene_tests if split in there]
    for split in splits:
        kind = "Scene" if len(splits) == 1 else f"Scene ({split})"
        share = -(-SCENES // len(splits))
        for image, item, found in _chosen(scorer, split, share, predict):
            pictures.append(_scene_picture(kind, image, item, found, categories, names, heard))
    if (split := config.data.single_test) in there:
        for image, item, found in _chosen(scorer, split, CLIPS, predict):
            pictures.append(_clip_picture(image, item, found, categories, names))
    return pictures


def _chosen(
    scorer: Scorer, split: str, count: int, predict: Callable[[Batch], Prediction]
) -> Iterator[tuple[UInt8[np.ndarray, "H W 3"], Batch, Prediction]]:
    """Items spread evenly over a split, as drawn, as annotated and as predicted."""
    source = scorer.dataset.source(split)
    records = [source[int(place)] for place in spread(len(source), count)]
    view, cropped = scorer.view(split), scorer.config.evaluation.centre_crop
    batches = evaluation_batches(
        records,
        image_size=view,
        batch_size=scorer.batch_size,
        centre_crop=cropped,
        slots=scorer.dataset.info.max_objects,
        threads=0,
    )
    for batch in batches:
        found = predict(batch)
        for i in np.flatnonzero(batch.mask):
            frames = records[int(batch.index[i])]["frames"]
            image = Image.fromarray(frames[len(frames) // 2])
            box = centre(frames[0].shape) if cropped else None
            height, width = (_SIDE * n // min(view) for n in view)
            item = Batch(*(None if x is None else x[i] for x in batch))
            one = Prediction(*(np.asarray(x[i]) for x in found))
            shown = image.resize((width, height), Image.Resampling.BICUBIC, box=box)
            yield np.asarray(shown), item, one


def _scene_picture(
    kind: str,
    image: UInt8[np.ndarray, "H W 3"],
    item: Batch,
    found: Prediction,
    categories: CategoryMap,
    names: Sequence[str],
    heard: float,
) -> Picture:
    """A scene as annotated, above what was found in it."""
    maps, scores = (categories.merge(np.asarray(x, np.float32)) for x in (found.maps, found.scores))
    sounding = scores >= heard
    drawn = rendering.draw(image, maps, categories.names, sounding=sounding, scores=scores)
    told = [f"{categories.names[n]} ({scores[n]:.2f})" for n in np.flatnonzero(sounding)]
    used = item.boxes.any(-1)
    sounds, silent = used & item.sounding, used & ~item.sounding
    if names:
        kinds = {"sounding": sounds, "silent": silent}
        kinds |= {"off screen": item.offscreen} if item.offscreen.any() else {}
        truth = [
            f"{what}: {_listed([names[c] for c in item.labels[here] if 0 <= c < len(names)])}"
            for what, here in kinds.items()
        ]
    else:
        truth = [f"{sounds.sum()} of {used.sum()} objects sound"]
    caption = f"{kind}. Truth (above) {'; '.join(truth)}. Found (below) {_listed(told)}."
    return Picture(caption, _above(_annotated(image, item, names), drawn))


def _clip_picture(
    image: UInt8[np.ndarray, "H W 3"],
    item: Batch,
    found: Prediction,
    categories: CategoryMap,
    names: Sequence[str],
) -> Picture:
    """A single source as annotated, above where the sound was found to come from."""
    place = categories.of_cluster[int(found.cluster)]
    # One map, in the colour of the predicted category.
    maps = np.zeros((*found.localization.shape, len(categories.names)), np.float32)
    maps[..., place] = found.localization
    drawn = rendering.draw(image, maps, categories.names)
    label = int(item.labels[0])
    truth = f"Truth (above): {names[label]}. " if 0 <= label < len(names) else ""
    return Picture(
        f"Single source. {truth}Found (below): {categories.names[place]}.",
        _above(_annotated(image, item, names), drawn),
    )


def _annotated(
    image: UInt8[np.ndarray, "H W 3"], item: Batch, names: Sequence[str]
) -> UInt8[np.ndarray, "H W 3"]:
    """Solid boxes in the category's colour for what sounds, dashed white ones for the rest."""
    silent = item.boxes[~item.sounding]
    blank = np.zeros((1, 1, 0), np.float32)
    canvas = Image.fromarray(rendering.draw(image, blank, (), truth=silent))
    pen = ImageDraw.Draw(canvas)
    size = tags.font_size(*image.shape[:2])
    colours = rendering.palette(max(1, len(names)))
    order = np.argsort(item.sounding, kind="stable")
    for box, label, sounds in zip(
        item.boxes[order], item.labels[order], item.sounding[order], strict=True
    ):
        if not box.any():
            continue
        known = 0 <= label < len(names)
        if sounds:
            colour = tuple(int(c) for c in colours[label if known else 0])
            rendering.rectangle(canvas, box, colour, 3)
        text = names[label] if known else ""
        text = text if sounds else f"{text} (silent)".strip()
        if text:
            face = tags.font(size)
            at = (round(box[1] * (canvas.width - 1)) + 6, round(box[0] * (canvas.height - 1)) + 4)
            ground = pen.textbbox(at, text, font=face)
            pen.rectangle((*(x - 2 for x in ground[:2]), *(x + 2 for x in ground[2:])), tags.INK)
            pen.text(at, text, font=face, fill=(255, 255, 255))
    return np.array(canvas)


def _above(
    upper: UInt8[np.ndarray, "H W 3"], lower: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H2 W 3"]:
    gap = np.full((6, upper.shape[1], 3), 255, np.uint8)
    return np.concatenate([upper, gap, lower])


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) if len(words) else "nothing"

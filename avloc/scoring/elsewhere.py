"""Scores a run on a data set that it was not trained on, beside the run's own scores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avloc.clustering.assignment import CategoryMap
from avloc.data_pipelines.dataset import Dataset
from avloc.evaluation import protocols
from avloc.evaluation.class_match import ClassMatch
from avloc.evaluation.protocols import Protocol
from avloc.json_files import parse_json, read_json
from avloc.runs.folder import RunFolder, write_atomically
from avloc.runs.recorded import restorable
from avloc.runs.thresholds import Sounding, stored_threshold
from avloc.scoring.run import Network, Scorer
from avloc.scoring.scores import Scores
from avloc.training.loading import load_run
from avloc.types import Batch

_NOT_FOR_TESTING = re.compile(r"(^|_)(train|validation|synthesis)(_|$)")  # not un-cons-train-ed


class ElsewhereScorer(Scorer):
    """Predicts as the run's own scorer does, on another data set.

    Its labels become the run's by name (`ClassMatch`); an object of a class that the run does not
    have is of unknown category. Clusters keep the names that they have in the run: from its own
    training clips, or, where its own data is not there, those of `categories.json`. Then only the
    last stage is scored.

    Args:
      own: of the run; its `dataset` is only asked for what `DatasetInfo` says if `missing`.
      dataset: the other one.
      missing: why the run's own data is not there; empty: it is.
    """

    def __init__(self, own: Scorer, dataset: Dataset, missing: str = ""):
        vars(self).update(vars(own))  # one compiled function, one method
        self.own, self.dataset, self.missing = own, dataset, missing
        self.match = ClassMatch.by_name(own.class_names, dataset.info.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The run's, whatever the data set's."""
        return self.match.own

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return folder_of(self.run, self.dataset.info.name)

    @property
    def evaluation(self) -> Path:
        """The folder of each item's scores."""
        return self.folder

    def score(
        self, split: str | None = None, protocol: str | None = None, stage: str | None = None
    ) -> Scores:
        """Scores the run on the splits for testing, or on one.

        Arguments as in `Scorer.score`; a split of scenes is told by its number of objects. Writes
        `elsewhere/DATA/SPLIT/PROTOCOL/ROW/` and `elsewhere/DATA/metrics.json` in the run's folder;
        splits that were scored before stay in that file.
        """
        scores = self._rows(*self._jobs(split, protocol), stage)
        if self.writes:
            file = self.folder / "metrics.json"
            made = self._about() | scores.to_json()
            with restorable(file, "remove it, and run the same command again"):
                before = read_json(file, dict) if file.is_file() else {}
            if before.get("fingerprint") in (made["fingerprint"], self.dataset.info.stored):
                made["splits"] = before["splits"] | made["splits"]
                left_out = before["left_out"] | made["left_out"]
                made["left_out"] = {k: v for k, v in left_out.items() if k not in made["splits"]}
            write_atomically(file, json.dumps(made, indent=2, allow_nan=False) + "\n")
        return scores

    def remarks(self) -> list[str]:
        """What a reader of the scores must know."""
        told = [self.match.sentence()]
        if self.missing:
            told.append(
                "Only the last stage is scored, with its clusters named as in categories.json, "
                f"because the run's own data is not there: {self.missing}."
            )
        return told

    def networks(self, stage: str | None = None) -> Iterator[Network]:
        """The run's; only one stage where its own data is not there."""
        return self.own.networks(stage or (self.own.last_stage() if self.missing else None))

    def categories(self, network: Network, naming: str = "assignment") -> CategoryMap | None:
        """Category of each cluster, as in the run."""
        if not self.missing:
            return self.own.categories(network, naming)
        return load_run(self.run.path, network.folder).categories if self.class_names else None

    def sounding(
        self, network: Network, categories: CategoryMap | None, *, again: bool = False
    ) -> Sounding:
        """The run's threshold, which is not chosen on other data."""
        if found := stored_threshold(self.run, network.folder):
            return found
        return Sounding(float(self.config.inference.sounding), "the config's")

    def batches(self, split: str, what: str) -> Iterator[Batch]:
        """Batches of a split, with the run's labels."""
        for batch in super().batches(split, what):
            yield batch._replace(labels=self.match.labels(batch.labels))

    def _about(self) -> dict[str, Any]:
        info = self.dataset.info
        return {
            "data": info.name,
            "fingerprint": info.fingerprint,
            "classes": asdict(self.match),
            "remarks": self.remarks(),
        }

    def _jobs(
        self, split: str | None, protocol: str | None
    ) -> tuple[dict[str, Protocol], dict[str, str]]:
        rules = self.config.evaluation
        there = list(self.dataset.info.num_examples)
        tests = [name for name in there if not _NOT_FOR_TESTING.search(name)] or there
        jobs, left_out = {}, {}
        for name in [split] if split else tests:
            kind = rules.scene_protocol if self.has_scenes(name) else rules.single_protocol
            jobs[name] = protocols.get(protocol or kind)
            if jobs[name].task == "multiple" and max(self.match.to_own, default=-1) < 0:
                del jobs[name]
                left_out[name] = f"it holds scenes of several classes. {self.match.sentence()[:-1]}"
        return jobs, left_out


def folder_of(run: RunFolder, data: str) -> Path:
    """Where a run keeps its scores on another data set, of that full name."""
    spec = data.rpartition("/")[0] or data  # without the version
    return run.path / "elsewhere" / re.sub(r"[^\w.+-]+", "-", spec)


def stored_elsewhere(run: RunFolder) -> Iterator[tuple[str, Scores, list[str]]]:
    """Name of each other data set that the run was scored on, its tables and its remarks."""
    for file in sorted((run.path / "elsewhere").glob("*/metrics.json")):
        try:
            data = parse_json(file.read_text())
            yield data["data"], Scores.from_json(data), data["remarks"]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # of another version: it is scored again when asked for

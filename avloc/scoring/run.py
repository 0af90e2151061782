"""Scores a trained run and its baselines on the splits that its config names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from avloc.clustering.assignment import CategoryMap
from avloc.data_pipelines.checks.preview import spread
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import evaluation_batches
from avloc.data_pipelines.media.image import view_in_proportion
from avloc.data_pipelines.records.stored_maps import StoredMaps
from avloc.evaluation import baselines, evaluate, fit_categories, protocols
from avloc.evaluation.protocols import Protocol
from avloc.machine import hosts
from avloc.machine.devices import Devices
from avloc.progress import track
from avloc.runs.checkpoints import example_batch, finished_stages
from avloc.runs.folder import RunFolder, write_atomically
from avloc.runs.thresholds import Sounding, store_thresholds, stored_threshold
from avloc.scoring import threshold
from avloc.scoring.judging import VideosOfClasses, verdict_on
from avloc.scoring.negative import Watched, other_sounds
from avloc.scoring.networks import Network, untrained
from avloc.scoring.scores import Rows, Scores, network_row
from avloc.training.feature_cache import FOLDER, FeatureCache
from avloc.training.loading import LoadedRun, load_run, recorded_info
from avloc.training.methods import create
from avloc.types import Batch, DatasetInfo, Prediction, TrainState

_LOOKED_AT = 50  # records of a split, to tell scenes from single clips


def require_own_data(run: RunFolder, info: DatasetInfo) -> None:
    """Raises ValueError if the run was trained on other data than these."""
    if not recorded_info(run).same_data(info):
        raise ValueError(
            f"{info.name or 'this data set'} is not what {run.path} was trained on (another state "
            "or another set), and its scores would replace the run's own: name the folder of its "
            "own data by --data-dir, or score other data beside it with `avloc evaluate --workdir "
            f"{run.path} --data NAME`"
        )


class Scorer:
    """Predicts with the stages of a run, through one function compiled for all devices.

    With several processes, all of them score, and the first one writes files.

    Args:
      run: a folder with a finished stage.
      dataset: the one that it was trained on.
      local: use only this process's devices, while the others do something else.

    Raises:
      ValueError: the run was trained on other data.
    """

    def __init__(self, run: RunFolder, dataset: Dataset, *, local: bool = False):
        require_own_data(run, dataset.info)
        self.run, self.dataset, self.writes = run, dataset, hosts.first()
        self.config = run.config()
        self.method = create(self.config, dataset.info)
        self.devices = Devices(self.config.parallel, local=local)
        self.batch_size = self.devices.even(self.config.batch_size)
        self._predict = self.devices.scan_fn(self.method.predict)
        self._trained_on = VideosOfClasses()

    def by_itself(self) -> Scorer:
        """A scorer for this process alone; this one if there are no others."""
        if jax.process_count() == 1:
            return self
        return Scorer(self.run, self.dataset, local=True)

    def score(
        self, split: str | None = None, protocol: str | None = None, stage: str | None = None
    ) -> Scores:
        """Scores the run's stages and, with `config.evaluation.baselines`, the baselines.

        These are the untrained network and the model-free rows. Clusters are named from each
        network's own predictions on training clips, never on the split that is scored. Writes
        `items.csv` and `metrics.json` of each row to `evaluation/SPLIT/PROTOCOL/ROW/`; called
        without arguments, also `categories.json` of the last stage, with clusters named as in the
        protocol of scenes, and the summary `metrics.json`.

        Args:
          split: one split; by default those of the config, single sources and each kind of scenes.
          protocol: by default the config's for the kind of split.
          stage: score only this stage.

        Raises:
          ValueError: an unknown split, protocol or stage, or a damaged checkpoint.
        """
        jobs, left_out = self._jobs(split, protocol)
        everything = split is None and protocol is None and stage is None
        shown = protocols.get(self.config.evaluation.scene_protocol).naming
        scores = self._rows(jobs, left_out, stage, shown if everything else None)
        if everything and self.writes:
            text = json.dumps(scores.to_json(), indent=2, allow_nan=False)
            write_atomically(self.run.path / "metrics.json", text + "\n")
        return scores

    def _rows(
        self,
        jobs: dict[str, Protocol],
        left_out: dict[str, str],
        stage: str | None,
        kept: str | None = None,
    ) -> Scores:
        """Every row of every split; `kept` is the naming that the run's folder is to remember."""
        splits: dict[str, Rows] = {name: {} for name in jobs}
        last = self.last_stage()
        namings = {rules.naming for rules in jobs.values()} | ({kept} if kept else set())
        judged = None
        sounding: dict[str, Sounding] = {}
        negative: dict[str, Rows] = {}
        of_scenes = [rules.naming for rules in jobs.values() if rules.task == "multiple"]
        for network in self.networks(stage):
            predict = self.predictor(network)
            categories = {naming: self.categories(network, naming) for naming in namings}
            if kept and network.folder == last:
                self._write_categories(categories[kept])
            if named_as := [*([kept] if kept else []), *of_scenes][:1]:
                found = self.sounding(network, categories[named_as[0]], again=bool(kept))
                sounding[network.folder] = found
            for name, rules in jobs.items():
                named, row, found = categories[rules.naming], network.row, splits[name]
                limit = sounding.get(network.folder)
                watched = Watched(predict, named, limit.value) if limit else predict
                self._add(found, row, network.folder, name, rules, watched, named, limit)
                if not kept or network.folder != last:
                    continue
                if self.config.evaluation.baselines:
                    negative[name] = other_sounds(self, name, watched, found[row])
                if rules.task == "single":
                    judged = verdict_on(found[row], named, self._trained_on)
        if kept and self.writes:
            stages = {name: sounding[name] for name in self.stages() if sounding[name].scenes}
            store_thresholds(self.run, stages)
        if stage is None and self.config.evaluation.baselines:
            for name, rules in jobs.items():
                if any(evaluation.evaluated for evaluation in splits[name].values()):
                    for row, folder, predict in self._baselines(name, rules):
                        shown = sounding.get(last)
                        self._add(splits[name], row, folder, name, rules, predict, None, shown)
        for name, rows in list(splits.items()):
            if not any(evaluation.metrics for evaluation in rows.values()):
                reasons = next(iter(splits.pop(name).values())).reasons
                left_out[name] = "; ".join(f"{why} ({n} items)" for why, n in reasons.items())
        negative = {name: rows for name, rows in negative.items() if rows and name in splits}
        return Scores(splits, left_out, judged, negative)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The categories that maps and labels are compared by."""
        return self.dataset.info.class_names

    @property
    def evaluation(self) -> Path:
        """The folder of each item's scores."""
        return self.run.evaluation

    def remarks(self) -> list[str]:
        """What a reader of the scores must know beside them."""
        return []

    def stages(self) -> list[str]:
        """Names of the finished stages, first to last."""
        return finished_stages(self.run, self.method)

    def last_stage(self) -> str | None:
        """The last of `stages`, None if there is none yet."""
        return next(reversed(self.stages()), None)

    def networks(self, stage: str | None = None) -> Iterator[Network]:
        """The stages from last to first, then the untrained network; or only one stage.

        Without the untrained network if `config.evaluation.baselines` is False.
        """
        finished = self.stages()
        for name in [stage or self.last_stage(), *([] if stage else finished[-2::-1])]:
            loaded = load_run(self.run.path, name)
            row = network_row(self.config.method, name, alone=name != finished[-1])
            yield Network(row, name, loaded.variables, loaded.aux)
        if stage is None and self.config.evaluation.baselines:
            yield untrained(self, self._frozen)

    def predictor(self, network: Network | LoadedRun) -> Callable[[Batch], Prediction]:
        """The network as a function of a batch."""
        variables, aux = self.devices.replicate((network.variables, network.aux))
        return lambda batch: self._predict(variables, aux, self.devices.place(batch))

    def categories(self, network: Network, naming: str = "assignment") -> CategoryMap | None:
        """Category of each cluster, from the training clips that stage one put into it.

        Where the method does not keep these (`Network.assigned`), from those that it is predicted
        for.

        Args:
          network: whose clusters.
          naming: see `Protocol.naming`.
        """
        names, split = self.dataset.info.class_names, self.config.data.stage_one
        if not names:
            return None
        batches = self._trained_on.noting(
            self.batches(split, f"naming the clusters of {network.row}")
        )
        data = self.config.data
        same = not (data.noise or data.missing_categories)  # as in training
        assigned = network.assigned(len(self.dataset.source(split))) if same else None
        return fit_categories(self.predictor(network), batches, names, naming, assigned)

    def sounding(
        self, network: Network, categories: CategoryMap | None, *, again: bool = False
    ) -> Sounding:
        """The score from which on a category sounds: the run's, or, `again`, chosen."""
        if not again and (found := stored_threshold(self.run, network.folder)):
            return found
        return threshold.of_network(self, network, categories)

    def view(self, split: str) -> tuple[int, int]:
        """Height and width of a split's pictures as the network sees them, in pixels."""
        side = self.config.image_size
        if self.config.evaluation.scene_size and self.has_scenes(split):
            side = self.config.evaluation.scene_size
        if not self.config.evaluation.keep_aspect:
            return side, side
        return view_in_proportion(self.dataset.source(split)[0]["frames"][0].shape, side)

    def _maps(self, split: str) -> StoredMaps | None:
        """What a frozen backbone, the same in all networks of a run, makes of the pictures."""
        if self._frozen is None:
            return None
        cache, state = self._frozen
        return cache.evaluation(split, state, self.view(split))

    @cached_property
    def _frozen(self) -> tuple[FeatureCache, TrainState] | None:
        if not self.config.stored_views:
            return None
        loaded = load_run(self.run.path)
        cache = FeatureCache(
            self.config,
            self.dataset,
            self.method,
            self.devices,
            lambda: False,
            self.run.path / FOLDER,
        )
        return cache, TrainState(loaded.variables, {}, loaded.aux, 0)

    @cache  # noqa: B019  (a scorer lives as long as the process; each row asks again)
    def has_scenes(self, split: str) -> bool:
        """Whether most items have several objects."""
        source = self.dataset.source(split)
        places = spread(len(source), _LOOKED_AT)
        return np.median([len(source[int(p)]["objects"]["label"]) for p in places]) > 1

    def batches(self, split: str, what: str) -> Iterator[Batch]:
        """Batches of a split, in order, with a progress bar that says what they are for."""
        source, threads = self.dataset.source(split), self.config.data.threads
        data = self.batches_of(source, self.view(split), self._maps(split), threads)
        return track(data, what, -(-len(source) // self.batch_size), "batch")

    def batches_of(
        self,
        records: Sequence[Any],
        view: tuple[int, int],
        maps: StoredMaps | None = None,
        threads: int = 0,
    ) -> Iterator[Batch]:
        """Batches of records, seen at a height and a width."""
        data = evaluation_batches(
            records,
            image_size=view,
            batch_size=self.batch_size,
            centre_crop=self.config.evaluation.centre_crop,
            maps=maps,
            slots=self.dataset.info.max_objects,
            shard=self.devices.shard,
            threads=threads,
        )
        return map(self.devices.whole, data)

    def _jobs(
        self, split: str | None, protocol: str | None
    ) -> tuple[dict[str, Protocol], dict[str, str]]:
        """The protocol of each split to score, and the splits that do not exist."""
        single = protocols.get(self.config.evaluation.single_protocol)
        scenes = protocols.get(self.config.evaluation.scene_protocol)
        own = {self.config.data.single_test: single}
        own |= dict.fromkeys(self.config.data.scene_tests, scenes)
        others = self.config.evaluation.split_protocols
        own |= {name: protocols.get(rules) for name, rules in others.items()}
        asked = protocols.get(protocol) if protocol else None
        if split is not None:
            first = self.dataset.source(split)[0]
            kind = scenes if len(first["objects"]["label"]) > 1 else single
            return {split: asked or own.get(split, kind)}, {}
        if asked is not None:
            own = {name: asked for name, rules in own.items() if rules.task == asked.task}
        there = self.dataset.info.num_examples
        left_out = {name: "the data set has no such split" for name in own if name not in there}
        return {name: rules for name, rules in own.items() if name in there}, left_out

    def _add(
        self,
        rows: Rows,
        row: str,
        folder: str,
        split: str,
        rules: Protocol,
        predict: Callable[[Batch], Prediction],
        categories: CategoryMap | None,
        sounding: Sounding | None,
    ) -> None:
        """Evaluates one row, and writes it to disk."""
        batches = self.batches(split, f"scoring {row} on {split}")
        rows[row] = evaluate(
            predict,
            batches,
            rules,
            categories,
            self.class_names,
            named_from=sounding.value if sounding else float(self.config.inference.sounding),
            named_by=sounding.rule if sounding else "",
        )
        if self.writes:
            rows[row].write(self.evaluation / split / rules.name / folder)

    def _baselines(
        self, split: str, rules: Protocol
    ) -> list[tuple[str, str, Callable[[Batch], Prediction]]]:
        """Name, folder and predictions of the model-free rows, on the network's grid."""
        batch = example_batch(self.config)
        variables, aux = jax.eval_shape(self.method.init, jax.random.key(0), batch)
        batch = batch._replace(image=np.zeros((2, *self.view(split), 3), np.uint8))
        shapes = jax.eval_shape(self.method.predict, variables, aux, batch)
        grid, n = shapes.localization.shape[1:], max(1, len(self.class_names))
        free = baselines.model_free(grid, n, rules)
        return [(row, row.replace(" ", "_"), predict) for row, predict in free.items()]

    def _write_categories(self, categories: CategoryMap | None) -> None:
        if self.writes and categories is not None:
            text = json.dumps(categories.to_json(), indent=2)
            write_atomically(self.run.categories, text + "\n")

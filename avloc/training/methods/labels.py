"""Labels of several classes for every clip: clusters, scores from a file, or tags of the data set.

Losses read them from aux, never from a batch. Tags are read where the config asks for supervision.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from avloc.training.methods.alternation import Alternation
from avloc.training.methods.label_files import read_scores, rows_of, softened
from avloc.types import Aux, Batch, Scan, TrainState, Variables


class Labelled(Alternation):
    """A method whose clips have scores of `config.clusters` classes, by `config.labels`."""

    def init(self, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
        """See `avloc.types.Method`. `targets` are the labels of all clips, split after split."""
        variables, aux = super().init(key, batch)
        rows = sum(self.info.num_examples.get(split, 0) for split in self.labelled_splits())
        targets = {"targets": jnp.zeros((rows, self.config.clusters)), "offset": jnp.zeros(())}
        return variables, {**aux, **targets}

    def labelled_splits(self) -> tuple[str, ...]:
        """The splits whose clips have labels, in the order of `targets`."""
        data = self.config.data
        return tuple(dict.fromkeys(data[name] for name in self.config.multi_task.splits))

    def targets(self, aux: Aux, batch: Batch) -> Float[Array, "B K"]:
        """Labels of a batch; `offset` is the place of the phase's split."""
        return aux["targets"][aux["offset"].astype(jnp.int32) + batch.index]

    def label(self, state: TrainState, scan: Scan, key: PRNGKeyArray) -> TrainState:
        """Sets the labels of every clip; `labels` is the likeliest one of those of stage one.

        Raises:
          ValueError: `config.labels` is not what it can be, or its file lacks something.
        """
        found = {split: self._labels_of(split, state, scan) for split in self.labelled_splits()}
        targets = np.concatenate(list(found.values())).astype(np.float32)
        aux = {**state.aux, "targets": jnp.asarray(targets)}
        first = self.config.data.stage_one
        if self.config.labels.source != "clusters" and first in found:
            aux["labels"] = jnp.asarray(found[first].argmax(axis=1), jnp.int32)
        return state._replace(aux=aux)

    def _labels_of(self, split: str, state: TrainState, scan: Scan) -> Float[np.ndarray, "N K"]:
        labels, k = self.config.labels, self.config.clusters
        if labels.source == "clusters":
            if split == self.config.data.stage_one:
                return np.eye(k)[np.asarray(state.aux["labels"])]
            scores = np.asarray(scan(self._teach_step, state, split))
        elif labels.source == "file":
            file = Path(labels.file).expanduser()
            videos = np.asarray(scan(self._video_step, state, split))
            scores = rows_of(videos, read_scores(file, k), split, file)
        elif labels.source == "tags":
            names = len(self.info.class_names)
            if names > k:
                raise ValueError(
                    f"config.clusters is {k}, but the data set has {names} categories, which are "
                    f"the classes where config.labels.source is 'tags': set it to {names}"
                )
            return np.asarray(scan(self._tag_step, state, split))
        else:
            raise ValueError(
                f"config.labels.source is 'clusters', 'file' or 'tags', not {labels.source!r}"
            )
        return softened(scores, labels.threshold, labels.floor)

    def _teach_step(self, variables: Variables, aux: Aux, batch: Batch) -> Float[Array, "B K"]:
        """What the audio network of stage one hears in scenes."""
        return jax.nn.softmax(self._teach(aux, batch))

    def _video_step(self, variables: Variables, aux: Aux, batch: Batch) -> Int[Array, " B"]:
        return batch.video

    def _tag_step(self, variables: Variables, aux: Aux, batch: Batch) -> Float[Array, "B K"]:
        """What sounds in a clip, as the data set says: the config asks for supervision."""
        tags = jax.nn.one_hot(batch.labels, self.config.clusters)
        return (tags * batch.sounding[..., None]).max(axis=1)

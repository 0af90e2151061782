"""C2F, sound localization from coarse to fine (Qian et al., ECCV 2020).

Coarse: classes of pictures and sounds are learnt from labels of several classes at once, beside
whether a picture and a sound belong together (C2F 3.1). Fine: by class activation each clip falls
into features of its classes, seen and heard; these are aligned within class and video (C2F 3.2).

Labels are tags of clips, scores of any tagger from a file, or, where there are none, the clusters
of CSOL's stage one, which then comes first in the same run (`config.labels`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from avloc import losses
from avloc.machine.devices import gather
from avloc.models.coarse import Branches, CoarseNet
from avloc.models.grad_cam import activation, grad_cam, linear_cam, pooled_by
from avloc.models.heads import EXACT
from avloc.training.methods.labels import Labelled
from avloc.training.methods.networks import inputs, make_network
from avloc.training.microbatches import in_microbatches
from avloc.types import Aux, Batch, LossOutput, Phase, Prediction, Variables

PARTS = ("full", "multi_task", "avc")


class Features(NamedTuple):
    """What a batch's losses need of its branches.

    Attributes:
      seen, heard: `f_v^c` and `f_a^c`, of each class. picture, sound: of the whole, pooled.
      drawn: as `picture`, of drawn negatives; None where pairs of the batch are the negatives.
      visual_logits, audio_logits: of each class.
    """

    seen: Float[Array, "B K D"]
    heard: Float[Array, "B K d"]
    picture: Float[Array, "B D"]
    sound: Float[Array, "B d"]
    drawn: Float[Array, "B D"] | None
    visual_logits: Float[Array, "B K"]
    audio_logits: Float[Array, "B K"]


class CoarseToFine(Labelled):
    """The whole method, and the rows of its ablation (`config.parts`); see `configs/c2f.py`."""

    title = "C2F"

    def network(self) -> CoarseNet:
        """The network that `config.model` describes."""
        model = self.config.model
        return make_network(
            CoarseNet,
            self.config,
            self.info,
            self.axis_name,
            audio_branch=model.audio_branch,
            hidden=model.pair_hidden,
            projection=tuple(model.projection),
            branch_axis=self.axis_name,
        )

    def phases(self) -> Iterator[Phase]:
        """See `avloc.types.Method`."""
        config = self.config
        if config.parts not in PARTS:
            raise ValueError(f"config.parts is one of {', '.join(PARTS)}, not {config.parts!r}")
        if config.labels.source == "clusters":
            yield from self.alternation("stage_one")
        yield Phase(
            "labels",
            config.data.stage_one,
            0,
            "multi_task",
            self.multi_task_loss,
            refresh=self.label,
            checkpoint_name="labels",
        )
        yield from self._passes(
            "multi-task", self.multi_task_loss, config.multi_task.epochs, "multi_task", "multi_task"
        )
        words, loss = "alignment", self.alignment_loss
        if config.parts != "full":
            words, loss = "multi-task, longer", self.multi_task_loss
        yield from self._passes(words, loss, config.stage_two.epochs, "alignment", "stage_two")

    def _passes(
        self, name: str, loss: Any, epochs: int, optimizer: str, checkpoint_name: str
    ) -> Iterator[Phase]:
        """Epochs over every split in turn; the last pass ends with a checkpoint."""
        splits, clips = self.labelled_splits(), self.config.data.stage_one
        for epoch in range(epochs):
            offset = 0
            for split in splits:
                last = epoch + 1 == epochs and split == splits[-1]
                yield Phase(
                    name,
                    split,
                    1,
                    optimizer,
                    loss,
                    aux={"offset": offset},
                    zoom_out=self.config.multi_task.zoom_out if split == clips else 0.0,
                    checkpoint_name=checkpoint_name if last else None,
                )
                offset += self.info.num_examples.get(split, 0)

    # Losses.

    def multi_task_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """`L_mul = L_cls + lambda L_avc` (C2F eq. 3); without labels `L_avc` alone."""
        out, stats = self._features(variables, batch)
        loss, log = self._multi_task(out, variables, aux, batch)
        return loss, LossOutput(stats, log)

    def alignment_loss(
        self, variables: Variables, aux: Aux, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, LossOutput]:
        """`L_mul + L_ava` (C2F eq. 3 and 7)."""
        two = self.config.stage_two
        out, stats = self._features(variables, batch)
        loss, log = self._multi_task(out, variables, aux, batch)
        heard = self.net.apply(variables, out.heard, method="project_heard")
        seen = self.net.apply(variables, out.seen, method="project_seen")
        valid = self._valid(out, aux, batch) & batch.mask[:, None]
        aligned = losses.alignment(
            *gather((heard, seen, valid, batch.video), self.axis_name), two.margin, two.form
        )
        log |= {
            "alignment": aligned.loss,
            "positive_distance": aligned.positive,
            "negative_distance": aligned.negative,
            "valid_classes": gather(valid, self.axis_name).sum(axis=1).mean(),
        }
        return loss + two.weight * aligned.loss, LossOutput(stats, log)

    def _multi_task(
        self, out: Features, variables: Variables, aux: Aux, batch: Batch
    ) -> tuple[Array, dict[str, Array]]:
        spec, axis = self.config.multi_task, self.axis_name
        mask = gather(batch.mask, axis)
        matching, right = self._correspondence(out, variables, batch)
        loss, log = spec.correspondence_weight * matching, {"matching": matching}
        log["accuracy"] = right
        if self.config.parts != "avc":
            targets = gather(self.targets(aux, batch), axis)
            logits = gather((out.visual_logits, out.audio_logits), axis)
            seen, heard = (losses.multi_label_bce(x, targets, mask) for x in logits)
            loss = loss + seen + heard
            log |= {"loss_visual": seen, "loss_audio": heard}
        return loss, log

    def _correspondence(
        self, out: Features, variables: Variables, batch: Batch
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """`L_avc` (C2F eq. 2), positives and negatives of one weight; and the share told right.

        Negatives are all pairs of different videos of the batch, or the image drawn for a sound.
        """
        sound, picture, video, mask = gather(
            (out.sound, out.picture, batch.video, batch.mask), self.axis_name
        )
        own = jnp.eye(len(mask), dtype=bool)
        logits = self.net.apply(variables, sound[None], picture[:, None], method="correspond")
        positive = own & mask[:, None]
        negative = (video[:, None] != video) & mask[:, None] & mask
        if out.drawn is not None:
            drawn = gather(out.drawn, self.axis_name)
            wrong = self.net.apply(variables, sound, drawn, method="correspond")
            logits = jnp.concatenate([jnp.diag(logits)[None], wrong[None]])
            positive = jnp.stack([mask, jnp.zeros_like(mask)])
            negative = positive[::-1]
        right = 0.5 * (_share(logits > 0, positive) + _share(logits <= 0, negative))
        return losses.match_bce(logits, positive, negative), right

    def _valid(self, out: Features, aux: Aux, batch: Batch) -> Bool[Array, "B K"]:
        """Which classes a clip takes part with: those found on both sides, or labelled."""
        two = self.config.stage_two
        if two.valid == "predicted":
            return self._found(out.visual_logits, out.audio_logits)
        if two.valid == "labelled":
            return self.targets(aux, batch) > two.valid_threshold
        raise ValueError(f"config.stage_two.valid is 'predicted' or 'labelled', not {two.valid!r}")

    def _found(self, *logits: Float[Array, "B K"]) -> Bool[Array, "B K"]:
        least = self.config.stage_two.valid_threshold
        return jnp.stack([jax.nn.sigmoid(x) > least for x in logits]).all(axis=0)

    # Features.

    def _features(self, variables: Variables, batch: Batch) -> tuple[Features, Variables]:
        """Features of a training batch, and the new statistics."""

        def forward(part: Batch) -> tuple[Features, Variables]:
            out, new = self.net.apply(
                variables,
                *inputs(self.net, part),
                True,
                method="disentangle",
                mutable=["batch_stats"],
            )
            return self._disentangled(out, variables, len(part.image)), new["batch_stats"]

        return in_microbatches(forward, batch, self.config.accumulate)

    def _disentangled(self, out: Branches, variables: Variables, own: int) -> Features:
        """Eq. 4 and 5; the pictures behind the first `own` are drawn negatives."""
        spec = self.config.cam
        visual = linear_cam(_kernel(variables, "visual_classes"), out.f_v[:own])
        visual = activation(visual, spec.relu, spec.visual_threshold)
        audio = activation(self._audio_cam(out, variables), spec.relu, spec.audio_threshold)
        picture = _whole(out.e_v, self.config.multi_task.pooling)
        return Features(
            seen=pooled_by(visual, out.e_v[:own]),
            heard=pooled_by(audio, out.e_a),
            picture=picture[:own],
            sound=_whole(out.e_a, self.config.multi_task.pooling),
            drawn=picture[own:] if len(picture) > own else None,
            visual_logits=out.visual_logits[:own],
            audio_logits=out.audio_logits,
        )

    def _audio_cam(self, out: Branches, variables: Variables) -> Float[Array, "B t m K"]:
        if not hasattr(self.net.audio, "frames"):
            return linear_cam(_kernel(variables, "audio_classes"), out.f_a)

        def score(maps: Float[Array, "B t m c"]) -> Float[Array, "B K"]:
            return self.net.apply(variables, maps, method="hear_classes")

        return grad_cam(score, out.f_a)

    # Localization.

    def predict(self, variables: Variables, aux: Aux, batch: Batch) -> Prediction:
        """Maps `K^c` of each class (C2F eq. 8).

        `heard` is `p_a`; a class sounds in the picture as far as both sides find it, by the
        geometric mean. The map of a whole clip is the mean over valid classes, weighed by that
        (C2F 4.3). Without labels there is one map, of the correspondence.
        """
        own = batch._replace(negative=None)
        out = self.net.apply(variables, *inputs(self.net, own), method="disentangle")
        features = self._disentangled(out, variables, len(batch.image))
        if self.config.parts == "avc":
            return self._agnostic(out, features, variables)
        maps = self._maps(out, features, variables)
        heard, seen = map(jax.nn.sigmoid, (out.audio_logits, out.visual_logits))
        scores = jnp.sqrt(heard * seen)
        valid = self._found(out.audio_logits, out.visual_logits)
        weights = scores * jnp.where(valid.any(axis=1, keepdims=True), valid, True)
        weights = weights / jnp.maximum(weights.sum(axis=1, keepdims=True), 1e-6)
        place = jnp.einsum("bhwk,bk->bhw", maps, weights, precision=EXACT)
        if self.config.localization.weighted:
            maps = maps * scores[:, None, None]
        return Prediction(maps, scores, heard, place, cluster=scores.argmax(axis=1))

    def _maps(
        self, out: Branches, features: Features, variables: Variables
    ) -> Float[Array, "B h w K"]:
        """`K^c`, 0 to 1; of the coarse model whether a cell belongs to a class heard."""
        if self.config.parts == "multi_task":
            sounds, cells = features.heard[:, None, None], out.e_v[:, :, :, None]
            return jax.nn.sigmoid(self.net.apply(variables, sounds, cells, method="correspond"))
        heard = self.net.apply(variables, features.heard, method="project_heard")
        cells = self.net.apply(variables, out.e_v, method="project_seen")
        cosine = jnp.einsum("bhwd,bkd->bhwk", cells, heard, precision=EXACT)
        spec = self.config.localization
        if spec.form == "cosine":
            return jnp.clip(cosine, 0.0, 1.0)
        if spec.form == "distance":
            near = jnp.exp(-spec.sharpness * losses.distances(cosine))
            return near / near.max(axis=(1, 2), keepdims=True)
        raise ValueError(f"config.localization.form is 'cosine' or 'distance', not {spec.form!r}")

    def _agnostic(self, out: Branches, features: Features, variables: Variables) -> Prediction:
        sounds = features.sound[:, None, None]
        place = jax.nn.sigmoid(self.net.apply(variables, sounds, out.e_v, method="correspond"))
        score = place.max(axis=(1, 2))[:, None]
        return Prediction(
            place[..., None], score, score, place, jnp.zeros(len(place), dtype=jnp.int32)
        )


def _kernel(variables: Variables, head: str) -> Float[Array, "C K"]:
    return variables["params"][head]["kernel"]


def _whole(maps: Float[Array, "B h w C"], pooling: str) -> Float[Array, "B C"]:
    if pooling not in ("mean", "max"):
        raise ValueError(f"config.multi_task.pooling is 'mean' or 'max', not {pooling!r}")
    return getattr(maps, pooling)(axis=(1, 2))


def _share(found: Bool[Array, "*pairs"], among: Bool[Array, "*pairs"]) -> Float[Array, ""]:
    return (found & among).sum() / jnp.maximum(among.sum(), 1)

"""Learning to separate from mixtures of known clips: what methods that do share.

Clips of a batch are mixed in the step. A guide of each clip, a vector in 0..1 for each channel of
the U-Net, asks for its own sound back. What the guide is made of is the method's: the picture
(`SoundOfPixels`), or what was located in it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray, Shaped
from ml_collections import ConfigDict

from avloc import losses
from avloc.machine.devices import gather, local_part
from avloc.models import GuidedSeparator, Separator, UNet
from avloc.models.backbones import visual_backbone
from avloc.separation.masking import MASKS, Grid, network_input, targets, weights
from avloc.separation.resampling import resample
from avloc.separation.spectrum import Stft
from avloc.training.methods.networks import PRECISIONS, picture_input
from avloc.training.microbatches import in_microbatches
from avloc.types import Aux, Batch, DatasetInfo, LossOutput, Variables


class Mixed(NamedTuple):
    """Mixtures of a batch's clips.

    Attributes:
      clips: places, in the whole batch, of the clips of each mixture.
      sources: loudness of each clip, at each cell, as it is in the mixture.
      mixture: loudness of the mixture.
    """

    clips: Int[Array, "B N"]
    sources: Float[Array, "B N R C"]
    mixture: Float[Array, "B R C"]


class Guides(NamedTuple):
    """What single clips are asked for by.

    Attributes:
      separator: what takes sounds apart. variables: its own.
      guides: of each clip, for it.
    """

    separator: Separating
    variables: Variables
    guides: Float[Array, "B K"]


@runtime_checkable
class Guided(Protocol):
    """A method that separates by a guide for each clip: what its measures need."""

    def guided(self, variables: Variables, aux: Aux, batch: Batch) -> Guides:
        """By evaluation statistics. Pure."""


class Separating:
    """A method with a `GuidedSeparator`; every choice is in `config.sound` or `config.separation`.

    Args:
      config: the experiment's.
      info: of the data set.
      axis_name: mapped axis under `pmap`, else None.

    Raises:
      ValueError: a mask of another kind, or fewer than two sources in a mixture.
    """

    def __init__(self, config: ConfigDict, info: DatasetInfo, axis_name: str | None = None):
        self.config, self.info, self.axis_name = config, info, axis_name
        sound, spec = config.sound, config.separation
        if spec.mask not in MASKS:
            raise ValueError(f"config.separation.mask is 'binary' or 'ratio', not {spec.mask!r}")
        if not 2 <= spec.sources <= config.batch_size:
            raise ValueError(
                f"config.separation.sources is {spec.sources}: mixtures are of 2 clips of a batch "
                f"or more, up to config.batch_size, {config.batch_size}"
            )
        self.grid = Grid(Stft(sound.n_fft, sound.hop), sound.rows, 2**spec.levels)
        if sound.rows % self.grid.multiple:
            raise ValueError(
                f"config.sound.rows is {sound.rows}, which cannot be halved "
                f"config.separation.levels, {spec.levels}, times: set --config.sound.rows="
                f"{max(1, round(sound.rows / self.grid.multiple)) * self.grid.multiple}"
            )
        self.net = self.network()

    def network(self) -> Separator:
        """The network that `config.model` and `config.separation` describe."""
        spec, model = self.config.separation, self.config.model
        dtype = PRECISIONS[self.config.precision]
        common = {"axis_name": self.axis_name, "dtype": dtype}
        return GuidedSeparator(
            visual=visual_backbone(model, remat=self.config.remat, **common),
            sound=UNet(spec.channels, spec.levels, spec.width, spec.deviation, **common),
            frozen=tuple(model.frozen),
            standardized=model.standardized,
        )

    def look(self, variables: Variables, aux: Aux, batch: Batch) -> Float[Array, "B h w C"]:
        """See `avloc.types.Looks`."""
        return self.net.apply(variables, picture_input(self.net, batch), method="look")

    def guide(
        self, variables: Variables, batch: Batch, train: bool
    ) -> tuple[Float[Array, "B K"], Variables]:
        """The guide of each clip, 0 to 1, and the new statistics. Each method has its own."""
        raise NotImplementedError

    def guided(self, variables: Variables, aux: Aux, batch: Batch) -> Guides:
        """See `Guided`."""
        return Guides(self, variables, self.guide(variables, batch, False)[0])

    # Training.

    def mix(self, batch: Batch, key: PRNGKeyArray) -> Mixed:
        """This device's mixtures: each clip of the whole batch is in `sources` of them.

        Clips are cut to the window at random and get random gains; a mixture is their mean. Its
        partners are any of the batch, of the same kind or video too, as in Sound-of-Pixels.
        """
        spec = self.config.separation
        cut_key, gain_key, order_key = jax.random.split(key, 3)
        sounds = gather(batch.waveform, self.axis_name)
        sounds = self._windows(to_float(sounds), cut_key)
        gains = jax.random.uniform(
            gain_key, (len(sounds), 1), minval=spec.gain[0], maxval=spec.gain[1]
        )
        spectra = self.grid.spectra(jnp.clip(sounds * gains, -1, 1) / spec.sources)
        order = jax.random.permutation(order_key, len(sounds))
        clips = jnp.stack([jnp.roll(order, -n) for n in range(spec.sources)], axis=1)
        clips = local_part(clips, self.axis_name)
        mixture = sum(spectra[clips[:, n]] for n in range(spec.sources))
        return Mixed(clips, self.grid.loudness(spectra)[clips], self.grid.loudness(mixture))

    def separation_loss(
        self,
        variables: Variables,
        batch: Batch,
        key: PRNGKeyArray,
        guides: Float[Array, "B K"] | None = None,
    ) -> tuple[Array, LossOutput]:
        """`mean_n mean(weight * error)` of the masks of this step's mixtures.

        Args:
          variables: of the network.
          batch: clips.
          key: of the mixtures.
          guides: of the clips; None: those of `guide`.
        """
        spec, parts = self.config.separation, self.config.accumulate
        own, stats = batch._replace(negative=None), variables["batch_stats"]
        if guides is None:
            guides, stats = in_microbatches(
                lambda part: self.guide(variables, part, True), own, parts
            )
        guides, real = gather((guides, jnp.asarray(batch.mask)), self.axis_name)
        mixed = self.mix(batch, key)
        heard = {**variables, "batch_stats": stats}

        def errors(
            part: tuple[Mixed, Float[Array, "b N K"]],
        ) -> tuple[Float[Array, "b 1"], Variables]:
            mixture, guide = part
            s, new = self.net.apply(
                heard,
                network_input(mixture.mixture),
                True,
                method="listen",
                mutable=["batch_stats"],
            )
            logits = self.net.apply(heard, guide, s, method="mask")
            ideal = targets(mixture.sources, mixture.mixture[:, None], spec.mask)
            weight = weights(mixture.mixture) if spec.weighted else jnp.ones_like(mixture.mixture)
            error = losses.mask_error(logits, ideal, weight, spec.mask)
            right = jnp.mean((logits > 0) == (ideal > 0.5), axis=(1, 2, 3))
            return jnp.stack([error, right], axis=1), new["batch_stats"]

        found, stats = in_microbatches(errors, (mixed, guides[mixed.clips]), parts)
        found, whole = gather((found, real[mixed.clips].all(axis=1)), self.axis_name)
        loss = losses.masked_mean(found[:, 0], whole)
        return loss, LossOutput(
            stats, {"separation": loss, "right": losses.masked_mean(found[:, 1], whole)}
        )

    # Prediction.

    @property
    def window(self) -> int:
        """See `avloc.types.Separates`."""
        return self._length + self._length % 2

    @property
    def _length(self) -> int:
        """Samples, at the data's rate, of the window that is trained on."""
        spec = self.config.sound
        return -(-spec.samples * self.info.sample_rate // spec.sample_rate)

    def separate_by(
        self,
        variables: Variables,
        waveform: Shaped[Array, "B T"],
        guides: Float[Array, "B G K"],
        among: Bool[Array, "B G"] | None = None,
    ) -> Float[Array, "B G T"]:
        """What each guide takes out of a sound of any length, at the data's sample rate, -1 to 1.

        As `unmix`; what lies above half the method's rate is in no part.
        """
        ours, theirs = self.config.sound.sample_rate, self.info.sample_rate
        sound = resample(to_float(waveform), theirs, ours)
        parts = self.unmix(variables, sound, guides, among)
        return jnp.clip(resample(parts, ours, theirs, waveform.shape[-1]), -1, 1)

    def unmix(
        self,
        variables: Variables,
        sound: Float[Array, "B T"],
        guides: Float[Array, "B G K"],
        among: Bool[Array, "B G"] | None = None,
    ) -> Float[Array, "B G T"]:
        """What each guide takes out of a sound, at the method's sample rate.

        Args:
          variables: of the network.
          sound: mixtures.
          guides: vectors in 0..1; G of each mixture.
          among: the guides that share the sound: their masks are soft, and where these add up to
            more than 1 they are scaled down, so that the results add up to no more than the sound.
            None: each guide is alone with it.
        """
        spectra = self.grid.spectra(sound)
        s = self.net.apply(variables, network_input(self.grid.loudness(spectra)), method="listen")
        masks = jax.nn.sigmoid(self.net.apply(variables, guides, s, method="mask"))
        kind = self.config.separation.mask
        if among is not None:
            masks = jnp.where(among[..., None, None], masks, 0)
            masks, kind = masks / jnp.maximum(masks.sum(axis=1, keepdims=True), 1), "ratio"
        return self.grid.apply(masks, spectra[:, None], sound.shape[-1], kind)

    def middle(self, waveform: Shaped[Array, "B T"]) -> Complex[Array, "B F C"]:
        """Spectra of the middle of sounds, as long as the window that was trained on."""
        return self.grid.spectra(self._windows(to_float(waveform), None))

    def _windows(
        self, sounds: Float[Array, "B T"], key: PRNGKeyArray | None
    ) -> Float[Array, "B samples"]:
        """A window of each sound at the method's rate: a random one, or the middle without key."""
        spec, rate, length = self.config.sound, self.info.sample_rate, self._length
        room = sounds.shape[-1] - length
        if room > 0 and key is None:
            sounds = sounds[:, room // 2 :][:, :length]
        elif room > 0:
            starts = jax.random.randint(key, (len(sounds),), 0, room + 1)
            cut = jax.vmap(lambda x, start: jax.lax.dynamic_slice_in_dim(x, start, length))
            sounds = cut(sounds, starts)
        return resample(sounds, rate, spec.sample_rate, spec.samples)


def to_float(waveform: Shaped[Array, "*B T"]) -> Float[Array, "*B T"]:
    """In -1..1; int16 is of full scale 32768."""
    if waveform.dtype == jnp.int16:
        return waveform.astype(jnp.float32) / 32768
    return waveform.astype(jnp.float32)

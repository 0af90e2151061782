"""Sound that is known as a spectrogram alone: methods hear it, and nothing mixes it."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from avloc.configs import c2f, csol, ier
from avloc.data_pipelines.media.audio import log_mel, spectrogram
from avloc.training.methods import create
from avloc.training.preflight import check
from avloc.types import Batch, DatasetInfo
from tests.records import make_dataset, make_records

SPLITS = ("train", "cocktail_train")
INFO = DatasetInfo(dict.fromkeys(SPLITS, 6))


def settings(method, **fields) -> ConfigDict:
    config = {"c2f": c2f, "csol": csol, "ier": ier}[method].base()
    config.image_size, config.clusters, config.batch_size = 32, 3, 4
    config.data.name, config.data.stage_two = "made up", "cocktail_train"
    config.model.update(dict(width=4, blocks=(0, 0, 0, 1), stem_pool=False, embedding=16))
    if method == "ier":
        config.identification.sources = (2, 2)
    config.update_from_flattened_dict(fields)
    return config


def with_spectrograms(records):
    """The records with the log-mel of their waveforms in place of these."""
    spectra = np.asarray(log_mel(np.stack([record["waveform"] for record in records])))[..., 0]
    empty = np.zeros(0, np.int16)
    return [r | {"waveform": empty, "log_mel": s} for r, s in zip(records, spectra, strict=True)]


def both_batches() -> tuple[Batch, Batch]:
    """The same pictures and sounds, by waveform and by spectrogram."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    heard = Batch.of(images, rng.integers(-9000, 9000, (4, 16000), dtype=np.int16))
    spectra = np.asarray(log_mel(heard.waveform))[..., 0]
    return heard, heard._replace(waveform=np.zeros((4, 0), np.int16), log_mel=spectra)


def test_the_spectrogram_of_either_batch_is_the_same():
    heard, stored = both_batches()
    np.testing.assert_array_equal(spectrogram(heard), spectrogram(stored))
    assert spectrogram(stored).shape == (4, 201, 64, 1)


@pytest.mark.parametrize("name", ["c2f", "csol", "ier"])
def test_a_method_hears_nothing_but_the_spectrogram(name):
    """A waveform of booleans is refused by whatever would make a spectrogram of it."""
    _, stored = both_batches()
    stored, key = stored._replace(waveform=np.zeros((4, 0), bool)), jax.random.key(0)
    with pytest.raises(ValueError, match="a waveform must be"):
        spectrogram(stored._replace(log_mel=None))
    method = create(settings(name), INFO)
    variables, aux = jax.eval_shape(method.init, key, stored)
    jax.eval_shape(method.predict, variables, aux, stored)
    phases = {phase.name: phase for phase in method.phases() if phase.epochs}
    for phase in phases.values():
        if phase.name != "identification":  # it mixes
            loss, _ = jax.eval_shape(phase.loss, variables, aux, stored, key)
            assert loss.shape == ()
    assert len(phases) > 2


def test_scenes_with_spectrograms_may_be_trained_on():
    clips, scenes = make_records(6), with_spectrograms(make_records(6))
    dataset = make_dataset(train=clips, cocktail_train=scenes)
    check(settings("csol", **{"stage_one.mixtures": 0.5}), dataset)
    check(settings("ier"), dataset)


@pytest.mark.parametrize(
    ("method", "field", "value", "split"),
    [
        ("csol", "stage_one.mixtures", 0.5, "train"),
        ("ier", "identification.epochs", 2, "train"),
        ("csol", "data.noise", 0.25, "cocktail_train"),
    ],
)
def test_what_would_mix_spectrograms_is_refused(method, field, value, split):
    records = {name: make_records(6) for name in SPLITS}
    records[split] = with_spectrograms(records[split])
    dataset = make_dataset(**records)
    with pytest.raises(ValueError) as error:
        check(settings(method, **{field: value}), dataset)
    assert str(error.value) == (
        f"split {split} has log-mel spectrograms and no waveforms, which config.{field} needs: set "
        f"--config.{field}=0, or train on a data set with waveforms"
    )

"""Silence and noise in place of the sound: what is still called sounding, worked out by hand."""

import json

import jax.numpy as jnp
import numpy as np

from avloc.reports.run import write_run_report
from avloc.scoring.negative import Watched, silence, white_noise, with_sound
from avloc.scoring.scores import stored_scores
from avloc.types import Batch, Prediction
from tests.scoring.halves import Brightness, everything


class Listening(Brightness):
    """Sure where it hears something; of anything as loud as noise too."""

    def predict(self, variables, aux, batch):
        found = super().predict(variables, aux, batch)
        loud = jnp.abs(batch.waveform).max(1) > 50
        return found._replace(
            scores=found.scores * loud[:, None], maps=found.maps * loud[:, None, None, None]
        )


def test_a_network_that_hears_goes_dark_in_silence(scorer, monkeypatch):
    """All 5 scenes are lit with their own sound and with noise; in silence none is."""
    items = everything()
    items["cocktail_test"] = [
        {**one, "waveform": np.full(16000, 900, np.int16)} for one in items["cocktail_test"]
    ]
    made = scorer(items)
    monkeypatch.setattr(made, "method", Listening(made.config, made.dataset.info))
    monkeypatch.setattr(made, "_predict", made.devices.scan_fn(made.method.predict))
    scores = made.score()
    rows = scores.negative["cocktail_test"]
    assert list(rows) == ["its own sound", "silence", "white noise"]
    value = {row: {m: x["value"] for m, x in found.metrics.items()} for row, found in rows.items()}
    assert value["its own sound"] == value["white noise"]
    assert (value["its own sound"]["called sounding"], value["silence"]["called sounding"]) == (
        100,
        0,
    )
    assert (value["its own sound"]["CIoU@0.3"], value["silence"]["CIoU@0.3"]) == (100, 0)
    # Clips are silent here, and localization of single sources does not listen.
    clips = scores.negative["test"]
    assert clips["its own sound"].metrics == clips["silence"].metrics
    assert clips["white noise"].metrics["called sounding"]["value"] == 100
    assert "With another sound: Scenes with silent objects (split cocktail_test)" in scores.text()
    assert stored_scores(made.run).text() == scores.text()
    data = json.loads((made.run.path / "metrics.json").read_text())
    silent = data["negative_audio"]["cocktail_test"]["silence"]
    assert silent["metrics"]["called sounding"]["value"] == 0
    assert "With another sound" in write_run_report(made.run, scores, None).read_text()


def test_no_rows_for_a_cell_of_an_ablation(scorer):
    assert scorer(everything(), baselines=False).score().negative == {}


def test_noise_belongs_to_the_item_and_is_as_loud_as_clips_of_scenes():
    batch = Batch.of(np.zeros((3, 4, 4, 3), np.uint8), np.ones((3, 8000), np.int16))
    noise = white_noise(batch)
    assert noise.dtype == np.int16 and noise.shape == (3, 8000)
    levels = 20 * np.log10(noise.astype(float).std(1) / 32768)
    np.testing.assert_allclose(levels, -26, atol=0.2)
    second = Batch(*(None if field is None else field[1:2] for field in batch))
    np.testing.assert_array_equal(white_noise(second)[0], noise[1])
    (quiet,) = with_sound([batch], silence)
    assert not quiet.waveform.any() and quiet.boxes is batch.boxes


def test_padding_is_not_called_sounding():
    batch = Batch.of(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 8), np.int16))
    scores = np.array([[0.1, 0.2], [0.9, 0.9]], np.float32)
    maps = np.zeros((2, 2, 2, 2), np.float32)
    found = Prediction(maps, scores, scores, maps[..., 0], np.zeros(2, int))
    watched = Watched(lambda _: found, None, 0.2)
    watched(batch._replace(mask=np.array([True, False])))
    (called,) = watched._called
    assert called.tolist() == [True]  # reached by equality, as localize does

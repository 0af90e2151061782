import copy
import multiprocessing
import pickle
import tarfile
from pathlib import Path

import jax
import librosa
import numpy as np
import pytest
from PIL import Image

import avloc
from avloc.clustering.assignment import CategoryMap
from avloc.data_pipelines.media.waveform import SILENCE
from avloc.drawing.rendering import palette
from avloc.inference.items import one_second
from avloc.inference.localization import draw
from avloc.inference.model import Model, load
from avloc.training.loading import load_run
from avloc.types import Batch
from tests.inference.blobs import CELLS, red_blob_model
from tests.videos import pitch


def tone(frequency, rate=16000, seconds=1.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def scene(colour=(250, 10, 10), height=96, width=96):
    """A square in the upper left quarter on grey: a quarter to half of the image each way."""
    image = np.full((height, width, 3), 120, np.uint8)
    image[height // 4 : height // 2, width // 4 : width // 2] = colour
    return image


HIGH, LOW = tone(2000), tone(300)


def test_one_item():
    found = red_blob_model().localize(scene(), HIGH, 16000)
    assert found.maps.shape == (CELLS, CELLS, 3)
    assert found.categories == ("drum", "flute", "harp") and found.names == ("drum",)
    np.testing.assert_allclose(found.scores, [0.6, 0, 0], atol=1e-6)  # 0.3 and 0.6 of two clusters
    np.testing.assert_array_equal(found.sounding, [True, False, False])
    expected = np.zeros((CELLS, CELLS))
    expected[3:6, 3:6] = 240 / 255  # 0.6 + 0.4 of two clusters
    np.testing.assert_allclose(found.maps[..., 0], expected, atol=1e-5)
    np.testing.assert_allclose(found.boxes[0], [[0.25, 0.25, 0.5, 0.5]], atol=1.5 / 96)
    np.testing.assert_allclose(found.box_scores[0], [240 / 255], atol=1e-3)
    assert [len(b) for b in found.boxes] == [1, 0, 0]


def test_a_batch_is_its_items():
    model = red_blob_model()
    images = np.stack([scene(), scene((10, 10, 250)), scene((250, 10, 250))])
    sounds = np.stack([HIGH, LOW, LOW])
    batch = model.localize(images, sounds, 16000)
    assert batch.maps.shape == (3, CELLS, CELLS, 3) and len(batch) == 3
    np.testing.assert_array_equal(
        batch.sounding, [[True, False, False], [False, True, False], [False, True, False]]
    )
    for b in range(3):
        one = model.localize(images[b], sounds[b], 16000)
        for ours, theirs in zip(
            (batch[b].maps, batch[b].scores, *batch[b].boxes),
            (one.maps, one.scores, *one.boxes),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_threshold_is_met_by_equality():
    model = red_blob_model()
    np.testing.assert_array_equal(model.sounding(np.array([0.49999, 0.5, 1])), [False, True, True])


def test_images_of_any_shape_are_covered_whole():
    found = red_blob_model().localize(scene(height=300, width=500), HIGH, 16000)
    np.testing.assert_allclose(found.boxes[0], [[0.25, 0.25, 0.5, 0.5]], atol=1.5 / 96)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_sound_of_any_rate_keeps_its_pitch(rate):
    second = one_second(0.5 * tone(1500, rate), rate)
    assert second.shape == (16000,) and second.dtype == np.int16
    assert pitch(second) == 1500
    expected = librosa.resample(0.5 * tone(1500, rate), orig_sr=rate, target_sr=16000)
    inner = slice(1000, 15000)  # filters differ at the ends
    np.testing.assert_allclose(second[inner] / 32768, expected[inner], atol=5e-3)


def test_long_sound_gives_its_middle_second():
    rate = 16000
    wave = np.concatenate([tone(f, rate) for f in (300, 500, 700)])
    assert pitch(one_second(wave, rate)) == 500
    np.testing.assert_array_equal(one_second(np.arange(20000, dtype=np.int16), rate)[0], 2000)


def test_short_sound_is_padded_on_both_sides():
    second = one_second(np.full(4000, 7, np.int16), 16000)
    np.testing.assert_array_equal(second, np.repeat(np.int16([0, 7, 0]), [6000, 4000, 6000]))


def test_stereo_and_int16_say_the_same_as_mono_float():
    wave = 0.25 * tone(700)
    expected = one_second(wave, 16000)
    stereo = np.stack([1.5 * wave, 0.5 * wave], axis=-1)
    np.testing.assert_array_equal(one_second(stereo, 16000), expected)
    np.testing.assert_array_equal(one_second(np.int16(np.rint(wave * 32768)), 16000), expected)
    model, image = red_blob_model(), scene()
    stereo_high = np.stack([HIGH, HIGH], axis=-1)
    for image_, wave_ in ((image, stereo_high), (image[None], stereo_high[None])):
        assert model.localize(image_, wave_, 16000).sounding.ravel()[0]


def test_bad_input_is_named():
    model = red_blob_model()
    with pytest.raises(ValueError, match="image must be"):
        model.localize(scene() / 255, HIGH, 16000)
    with pytest.raises(ValueError, match="as many as there are images"):
        model.localize(scene()[None], np.stack([HIGH, HIGH]), 16000)
    with pytest.raises(ValueError, match="as many as there are images"):
        model.localize(scene(), HIGH[None, :, None], 16000)
    with pytest.raises(ValueError, match="no sound"):
        model.localize(scene(), HIGH[:0], 16000)
    with pytest.raises(ValueError, match="no sound"):
        model.localize(scene(), HIGH, 0)
    with pytest.raises(ValueError, match="int16"):
        model.localize(scene(), np.zeros(16000, np.int64), 16000)


def test_draw_shows_what_sounds():
    model, image = red_blob_model(), scene(height=240, width=320)
    picture = draw(image, model.localize(image, HIGH, 16000))
    assert picture.shape == image.shape
    middle = picture[90, 120].astype(float)
    np.testing.assert_allclose(middle, 0.4 * image[90, 120] + 0.6 * palette(1)[0], atol=6)
    np.testing.assert_array_equal(picture[150:], image[150:])
    silent = draw(image, model.localize(image, np.zeros(16000), 16000))
    np.testing.assert_array_equal(silent[150:], image[150:])
    boxed = draw(image, model.localize(image, HIGH, 16000), boxes=True)
    assert (boxed != picture).any()
    with pytest.raises(ValueError, match="one item"):
        draw(image, model.localize(image[None], HIGH[None], 16000))


def test_digest_names_the_model():
    same, again = red_blob_model().digest(), red_blob_model().digest()
    assert same == again and len(same) == 64
    assert red_blob_model(gain=0.5).digest() != same
    assert red_blob_model(names=("drum", "flute", "lute")).digest() != same


def test_items_of_one_localization_cannot_be_taken():
    found = red_blob_model().localize(scene(), HIGH, 16000)
    with pytest.raises(TypeError, match="one item"):
        found[0]


def test_load_gives_what_was_trained(tmp_path, monkeypatch):
    model = red_blob_model()
    asked = []

    def load_run(workdir, stage):
        asked.append((workdir, stage))
        categories = CategoryMap((0, 1, 0, 2), ("a", "b", "c"))
        return model.config, model_method, {"gain": np.float32(1)}, {}, categories

    from tests.inference.blobs import RedBlobs

    model_method = RedBlobs()
    monkeypatch.setattr("avloc.inference.model.load_run", load_run)
    loaded = load(tmp_path, "stage_one")
    assert isinstance(loaded, Model) and asked == [(tmp_path, "stage_one")]
    assert loaded.checkpoint == str(tmp_path)
    assert loaded.localize(scene(), HIGH, 16000).categories == ("a", "b", "c")


def test_silence_has_no_source():
    model = red_blob_model()
    heard = model.localize(scene(), tone(1500), 16000)
    assert heard.sounding.any()
    for loudness in (0.0, 0.5 * SILENCE):
        silent = model.localize(scene(), loudness * tone(1500) / np.abs(tone(1500)).max(), 16000)
        assert not silent.sounding.any() and not silent.maps.any() and not silent.scores.any()


# A real model: a run of CSOL that is packed for other tests.


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    packed = Path(__file__).parents[1] / "runs" / "run_of_0.1.0.tar.gz"
    with tarfile.open(packed) as run:
        run.extractall(folder, filter="data")
    return folder / "run"


def inputs(size=2):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (size, 40, 50, 3), np.uint8), rng.uniform(-1, 1, (size, 16000))


def numbers(found):
    return np.concatenate([found.maps.ravel(), found.scores.ravel()])


def localize_one(model):
    """Work of another process."""
    image, sound = inputs()
    return numbers(model.localize(image[0], sound[0], 16000)), model.digest()


def test_a_pickled_model_is_the_same(trained):
    model = avloc.load(trained)
    expected = numbers(model.localize(*inputs(), 16000))
    assert expected.std() > 0.01
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert again is not model and again.digest() == model.digest()
        assert (again.names, again.checkpoint) == (model.names, str(trained))
        np.testing.assert_array_equal(numbers(again.localize(*inputs(), 16000)), expected)


def test_a_pickled_model_of_a_method_without_data():
    model = red_blob_model()
    again = pickle.loads(pickle.dumps(model))
    assert again.digest() == model.digest()
    np.testing.assert_array_equal(
        numbers(again.localize(scene(), HIGH, 16000)), numbers(model.localize(scene(), HIGH, 16000))
    )


def test_another_process_localizes_with_it(trained):
    model = avloc.load(trained)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found, digest = pool.apply(localize_one, (model,))
    ours, own = localize_one(model)
    assert digest == own
    np.testing.assert_allclose(found, ours, atol=1e-6)


def test_embeddings_give_the_localization(trained):
    model, run = avloc.load(trained), load_run(trained)
    images, sounds = inputs()
    cells, heard = model.embed(images, sounds, 16000)
    assert isinstance(cells, np.ndarray) and heard.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(cells, axis=-1), 1, atol=1e-5)
    head = run.variables["params"]["correspondence"]
    cosine = np.einsum("bhwd,bd->bhw", cells, heard)
    localization = 1 / (1 + np.exp(-(head["scale"] * cosine + head["bias"])))
    views = [Image.fromarray(i).resize((32, 32), Image.Resampling.BILINEAR) for i in images]
    batch = Batch.of(np.stack(views), np.stack([one_second(s, 16000) for s in sounds]))
    expected = jax.jit(run.method.predict)(run.variables, run.aux, batch).localization
    assert cosine.std() > 1e-4
    np.testing.assert_allclose(localization, expected, atol=1e-5)

    one = model.embed(images[1], sounds[1], 16000)
    np.testing.assert_allclose(one.cells, cells[1], atol=1e-5)
    np.testing.assert_allclose(one.sounds, heard[1], atol=1e-5)


def test_a_method_without_embeddings_is_refused():
    with pytest.raises(ValueError, match="method 'RedBlobs' cannot embed pictures and sounds"):
        red_blob_model().embed(scene(), HIGH, 16000)


def test_few_sizes_compile():
    from tests.inference.blobs import RedBlobs

    sizes = []

    class Counted(RedBlobs):
        def predict(self, variables, aux, batch):
            sizes.append(len(batch.image))  # runs where a size is traced
            return super().predict(variables, aux, batch)

    plain = red_blob_model()
    model = Model(plain.config, Counted(), {"gain": np.float32(1)}, {}, plain.categories)
    for size in (1, 2, 3, 4, 5, 7, 8, 6):
        batch = np.stack([scene()] * size), np.stack([HIGH] * size)
        found = model.localize(*batch, 16000)
        assert found.maps.shape[0] == found.scores.shape[0] == len(found.boxes) == size
        np.testing.assert_allclose(found.scores[:, 0], 0.6, atol=1e-6)
    assert sizes == [1, 2, 4, 8]


def test_the_threshold_can_be_given():
    plain = red_blob_model()
    parts = plain.config, plain._method, plain._variables, plain._aux, plain.categories
    model = Model(*parts, threshold=0.95)
    assert (plain.threshold, model.threshold) == (0.5, 0.95)
    assert plain.localize(scene(), HIGH, 16000).names == ("drum",)
    assert model.localize(scene(), HIGH, 16000).names == ()
    assert pickle.loads(pickle.dumps(model)).threshold == 0.95
    assert model.digest() == plain.digest()
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="the threshold must be between 0 and 1, not"):
            Model(*parts, threshold=wrong)

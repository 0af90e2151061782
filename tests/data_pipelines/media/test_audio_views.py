"""Random views of sounds: another moment, another pitch, some noise, and nothing else."""

import numpy as np
import pytest

from avloc.data_pipelines.loader import training_batches
from avloc.data_pipelines.media.audio_views import AS_IT_IS, SoundViews, training_sound
from tests.records import make_records

NONE = np.zeros(0, np.int16)
RAMP = np.arange(1000, dtype=np.int16)
NEXT = np.arange(1000, 2000, dtype=np.int16)


class Given:
    """Draws of the generator, by hand: shares of the range that is asked for."""

    def __init__(self, *shares):
        self.shares = list(shares)
        self.asked = []

    def uniform(self, low, high):
        self.asked.append((low, high))
        return low + (high - low) * self.shares.pop(0)

    def normal(self, scale, size):
        self.scale = scale
        return np.full(size, scale)


def test_by_default_nothing_changes():
    assert not AS_IT_IS.any() and SoundViews(semitones=1.0).any()
    rng = np.random.default_rng(0)
    for following in (NONE, NEXT):
        np.testing.assert_array_equal(training_sound(RAMP, following, AS_IT_IS, rng), RAMP)


@pytest.mark.parametrize(("share", "start"), [(0.0, 0), (0.25, 250), (1.0, 1000)])
def test_an_offset_reaches_into_the_next_second(share, start):
    rng = Given(0.5, share)
    made = training_sound(RAMP, NEXT, SoundViews(offset=True), rng)
    np.testing.assert_array_equal(made, np.arange(start, start + 1000))
    assert rng.asked[1] == (0.0, 1000.0)  # 1999 is the last sample, and 999 lie behind the start


def test_a_clip_without_a_successor_stays_where_it_is():
    for seed in range(5):
        made = training_sound(RAMP, NONE, SoundViews(offset=True), np.random.default_rng(seed))
        np.testing.assert_array_equal(made, RAMP)


def smooth(length, bend=0.002):
    """A slow wave, whose value between samples is known."""
    return 10_000 * np.sin(bend * np.arange(length))


INNER = slice(100, -100)  # a filter meets the ends of a sound


def test_an_octave_up_is_twice_as_fast():
    sound, following = np.int16(smooth(2000)[:1000]), np.int16(smooth(2000)[1000:])
    made = training_sound(sound, following, SoundViews(semitones=12.0), Given(1.0))
    np.testing.assert_allclose(made[INNER], smooth(2000)[::2][INNER], atol=8)
    # Without a successor the second half is silent.
    made = training_sound(sound, NONE, SoundViews(semitones=12.0), Given(1.0))
    np.testing.assert_allclose(made[:500][INNER], smooth(1000)[::2][INNER], atol=8)
    assert made.shape == (1000,) and not made[500:].any()


def test_an_octave_up_folds_nothing_back():
    """6 kHz would be 12 kHz, which a rate of 16 kHz does not hold; 3 kHz becomes 6 kHz."""
    high, mid = (8000 * np.sin(2 * np.pi * f * np.arange(16000) / 16000) for f in (6000, 3000))
    made = training_sound(np.int16(high), np.int16(high), SoundViews(semitones=12.0), Given(1.0))
    assert np.abs(made[INNER].astype(int)).max() <= 8
    made = training_sound(np.int16(mid), np.int16(mid), SoundViews(semitones=12.0), Given(1.0))
    assert np.abs(np.fft.rfft(made)).argmax() == 6000 and made[INNER].max() > 7900


def test_an_octave_down_lies_between_samples():
    made = training_sound(np.int16(smooth(1000)), NONE, SoundViews(semitones=12.0), Given(0.0))
    np.testing.assert_allclose(made[INNER], smooth(1000, 0.001)[INNER], atol=8)


def test_pitch_and_offset_together_stay_inside():
    """At 2 semitones up, the start is drawn so far that the view ends with the video."""
    sound = smooth(2000)
    rng = Given(1.0, 1.0)
    made = training_sound(
        np.int16(sound[:1000]),
        np.int16(sound[1000:]),
        SoundViews(offset=True, semitones=2.0),
        rng,
    )
    rate = 2 ** (2 / 12)
    np.testing.assert_allclose(rng.asked[1][1], 1999 - rate * 999)
    where = 1999 - rate * np.arange(999, -1, -1)  # to half a sample
    np.testing.assert_allclose(made[INNER], 10_000 * np.sin(0.002 * where)[INNER], atol=18)
    # An octave up, a clip without a successor begins at its beginning.
    rng = Given(1.0, 1.0)
    training_sound(RAMP, NONE, SoundViews(offset=True, semitones=12.0), rng)
    assert rng.asked[1] == (0.0, 0.0)


def test_pitch_is_drawn_between_the_semitones():
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.int16)
    peaks = []
    for seed in range(40):
        made = training_sound(tone, tone, SoundViews(semitones=2.0), np.random.default_rng(seed))
        peaks.append(np.abs(np.fft.rfft(made)).argmax())  # bins of 1 Hz
    semitones = 12 * np.log2(np.array(peaks) / 440)
    assert np.abs(semitones).max() < 2.05 and semitones.min() < -1.5 and semitones.max() > 1.5


def test_hiss_lies_below_the_sound():
    loud = np.full(1000, 1000, np.int16)
    made = training_sound(loud, NONE, SoundViews(hiss_db=20.0), rng := Given(0.5, 0.0))
    assert rng.asked[1] == (20.0, 50.0)
    np.testing.assert_array_equal(made, 1100)  # -20 dB: a tenth
    made = training_sound(loud, NONE, SoundViews(hiss_db=20.0), Given(0.5, 1.0))
    np.testing.assert_array_equal(made, 1003)  # -50 dB: 3.16
    training_sound(loud, NONE, SoundViews(hiss_db=60.0), rng := Given(0.5, 0.7))
    assert rng.asked[1] == (60.0, 60.0)  # fainter than the faintest: as asked
    level = [
        training_sound(loud, NONE, SoundViews(hiss_db=20.0), np.random.default_rng(s)).std()
        for s in range(30)
    ]
    assert min(level) > 3 and max(level) < 110 and np.ptp(level) > 30


def test_silence_stays_silent_and_loud_sounds_do_not_wrap():
    rng = np.random.default_rng(0)
    every = SoundViews(True, 2.0, 20.0)
    silent = np.zeros(1000, np.int16)
    np.testing.assert_array_equal(training_sound(silent, silent, every, rng), silent)
    loud = np.tile(np.int16([32767, -32768]), 500)
    made = training_sound(loud, NONE, SoundViews(hiss_db=6.0), rng).astype(int)
    assert made.dtype != np.int16 and (made[::2] > 0).all() and (made[1::2] < 0).all()


# In batches.


def batches(records, **how):
    return list(training_batches(records, image_size=8, batch_size=4, **{"seed": 0} | how))


EVERY = SoundViews(True, 2.0, 20.0)


def test_views_follow_the_seed_whatever_the_threads():
    records = make_records(12, videos=1)
    how = dict(sound=EVERY, following=[*range(1, 12), -1])
    first = batches(records, threads=1, **how)
    for a, b in zip(first, batches(records, threads=4, **how), strict=True):
        np.testing.assert_array_equal(a.waveform, b.waveform)
    sounds = {int(i): w for b in first for i, w in zip(b.index, b.waveform, strict=True)}
    others = batches(records, seed=1, **how)
    others = {int(i): w for b in others for i, w in zip(b.index, b.waveform, strict=True)}
    assert all((sounds[i] != others[i]).any() for i in sounds)


def test_the_next_clip_is_the_one_that_is_named():
    """Item i sounds at the level 100 i: a view holds its own level, then that of its successor."""
    records = [
        r | {"waveform": np.full(16000, 100 * i, np.int16)} for i, r in enumerate(make_records(8))
    ]
    following = [5, -1, 7, -1, -1, 2, -1, -1]
    mixed = 0
    for seed in range(4):
        for batch in batches(
            records, sound=SoundViews(offset=True), following=following, seed=seed
        ):
            assert batch.waveform.dtype == np.int16 and batch.waveform.shape == (4, 16000)
            for item, sound in zip(batch.index, batch.waveform, strict=True):
                own, after = 100 * item, 100 * following[item]
                if following[item] < 0:
                    assert (sound == own).all()
                    continue
                assert sound[0] == own and sound[-1] in (own, after)
                assert (np.abs(sound - own) <= abs(after - own)).all()
                mixed += sound[-1] == after
    assert mixed > 6


def test_pictures_do_not_depend_on_views_of_sounds():
    records = make_records(8, size=16)
    for a, b in zip(batches(records), batches(records, sound=EVERY), strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.index, b.index)
        assert (a.waveform != b.waveform).any()


def test_spectrograms_have_no_views():
    records = [
        r | {"waveform": np.zeros(0, np.int16), "log_mel": np.ones((201, 64), np.float32)}
        for r in make_records(8)
    ]
    for batch in batches(records, sound=EVERY, following=[-1] * 8):
        assert batch.waveform.shape == (4, 0) and (batch.log_mel == 1).all()

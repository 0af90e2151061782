from fractions import Fraction

import av
import numpy as np
import pytest

from avloc.data_pipelines.media.video import VideoError
from avloc.inference.redraw import redraw
from tests.videos import colour, damage, pitch, place, write_video


def pictures(path):
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def sound(path):
    """Mean of the channels in time order, starting at the first sample's time, and the rate."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        wave = np.concatenate(
            [
                f.to_ndarray().reshape(len(f.layout.channels), -1)
                if f.format.is_planar
                else f.to_ndarray().reshape(-1, len(f.layout.channels)).T
                for f in frames
            ],
            axis=1,
        )
        return frames[0].time, wave.mean(0), frames[0].sample_rate


def darken(frame, time):
    return frame // 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("b.mkv", {"rate": 12, "sample_rate": 22050, "channels": 1}),
        ("c.webm", {"rate": Fraction(30000, 1001)}),
        ("d.avi", {"rate": 30}),
        ("e.mp4", {"channels": 6, "rate": 50}),
        ("f.mov", {"times": [0, 0.1, 0.15, 0.4, 0.44, 0.8, 1.0, 1.3, 1.31, 1.9]}),
        ("g.mkv", {"sound_delay": 0.5}),
    ],
)
def test_frames_times_and_sound_are_kept(tmp_path, name, options):
    source = write_video(tmp_path / name, **options)
    target = tmp_path / "out.mp4"
    asked = []

    def draw(frame, time):
        asked.append(time)
        return darken(frame, time)

    count = []
    redraw(source, target, draw, lambda: count.append(1))

    before, after = pictures(source), pictures(target)
    assert len(count) == len(after) == len(before)
    origin = before[0][0]
    np.testing.assert_allclose(asked[1:], [time - origin for time, _ in before], atol=1e-9)
    np.testing.assert_allclose(
        [time for time, _ in after], [time for time, _ in before], atol=1.5e-3
    )
    for (_, old), (_, new) in zip(before, after, strict=True):
        np.testing.assert_allclose(new.astype(float).mean((0, 1)), (old // 2).mean((0, 1)), atol=3)
    with av.open(str(source)) as old, av.open(str(target)) as new:
        assert new.streams.video[0].codec_context.name == "h264"
        assert new.streams.video[0].codec_context.pix_fmt == "yuv420p"
        rates = [float(c.streams.video[0].average_rate) for c in (old, new)]
        assert rates[1] == pytest.approx(rates[0], rel=0.05)
        assert new.duration / 1e6 == pytest.approx(old.duration / 1e6, abs=0.06)

    start, wave, rate = sound(source)
    new_start, new_wave, new_rate = sound(target)
    assert new_start == pytest.approx(start, abs=0.03)
    assert len(new_wave) / new_rate == pytest.approx(len(wave) / rate, abs=0.06)
    for second, frequency in enumerate((400, 500)):
        middle = round((second + 0.3) * new_rate), round((second + 0.7) * new_rate)
        heard = pitch(new_wave[slice(*middle)], new_rate)
        assert heard == pytest.approx(frequency, abs=3)


def test_aac_is_copied_bit_for_bit(tmp_path):
    source = write_video(tmp_path / "a.mp4")
    redraw(source, tmp_path / "out.mp4", darken)

    def packets(path):
        with av.open(str(path)) as container:
            return [bytes(p) for p in container.demux(audio=0) if p.size]

    assert packets(tmp_path / "out.mp4") == packets(source)


def test_frames_come_upright(tmp_path):
    source = write_video(tmp_path / "a.mp4", size=(96, 64), rotation=90)
    shapes = set()

    def draw(frame, time):
        shapes.add(frame.shape)
        return frame

    redraw(source, tmp_path / "out.mp4", draw)
    assert shapes == {(96, 64, 3)}
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (64, 96, 0)
        upright = np.rot90(pictures(source)[0][1])  # counterclockwise
        np.testing.assert_allclose(frame.to_ndarray(format="rgb24"), upright, atol=40)


def test_colours_stay(tmp_path):
    source = write_video(tmp_path / "a.mp4", colour=(20, 180, 60))
    redraw(source, tmp_path / "out.mp4", lambda frame, time: frame)
    old, new = pictures(source)[10][1], pictures(tmp_path / "out.mp4")[10][1]
    np.testing.assert_allclose(colour(new), colour(old), atol=4)
    assert place(new) == pytest.approx(place(old), abs=0.02)


def test_frames_are_streamed(tmp_path):
    """Drawing begins before decoding ends, and the drawn frames are not kept."""
    source = write_video(tmp_path / "a.mp4", seconds=8)
    alive, most = 0, 0

    class Counted(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def draw(frame, time):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        drawn = np.empty(frame.shape, np.uint8).view(Counted)
        drawn[:] = frame
        return drawn

    redraw(source, tmp_path / "out.mp4", draw)
    assert len(pictures(tmp_path / "out.mp4")) == 200 and most < 20


def test_a_damaged_video_is_named(tmp_path):
    source = damage(write_video(tmp_path / "broken.mp4", seconds=4))
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        redraw(source, tmp_path / "out.mp4", darken)


def test_a_target_that_cannot_be_written_is_named(tmp_path):
    source = write_video(tmp_path / "a.mp4", seconds=1)
    with pytest.raises(VideoError, match="cannot be converted to mp4"):
        redraw(source, tmp_path / "missing" / "out.mp4", darken)

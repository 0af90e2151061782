"""Clips kept while a data set is being built: complete or not there, and never lost to a crash."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from avloc.data_pipelines.builders import decoding, limits, workers
from avloc.data_pipelines.builders.decoding import ClipStore
from avloc.data_pipelines.collection import Moment, Recording
from tests.videos import pitch, place, write_video


def recordings(videos: Path) -> list[Recording]:
    return [
        Recording(path.relative_to(videos).as_posix(), path=path)
        for path in sorted(videos.rglob("*.mp4"))
    ]


def test_clips_come_back_as_they_were_cut(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=3)
    moments = (Moment("second", 1.0, 1.52, ()), Moment("late", 2.5, 2.9, ()), Moment("x", 0, 0, ()))
    whole, chosen = Recording("a", path=path), Recording("a", path=path, moments=moments)
    missing = Recording("b")
    store = ClipStore(tmp_path / "clips")
    store.fill([whole, chosen, missing], 0)
    stored = store.load(whole)
    assert (stored.clips, stored.problem) == ((0, 1, 2), None)
    assert [len(stored.frames(clip)) for clip in stored.clips] == [4, 4, 4]
    assert pitch(stored.waveform(2)) == pytest.approx(600, abs=1)
    assert place(stored.frame(1)) == pytest.approx(0.625, abs=0.03)
    stored = store.load(chosen)
    assert stored.clips == (0, 2)  # half of the sound of `late` is beyond the end
    assert place(stored.frame(0)) == pytest.approx(0.52, abs=0.02)
    assert stored.late == pytest.approx((0.0, 0.0))
    assert len(list((tmp_path / "clips").iterdir())) == 2
    store.discard()
    assert not (tmp_path / "clips").exists()


def test_what_else_is_wanted_of_a_video_is_decoded_anew(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=3)
    store = ClipStore(tmp_path / "clips")
    for wanted in ({}, {"start": 1.0}, {"length": 1.0}, {"moments": ()}):
        store.fill([Recording("a", path=path, **wanted)], 0)
    assert len(list((tmp_path / "clips").iterdir())) == 4
    longer = ClipStore(tmp_path / "clips", seconds=3)
    longer.fill([Recording("a", path=path)], 0)
    assert longer.load(Recording("a", path=path)).waveform(0).shape == (48000,)


def test_killed_decoding_goes_on_where_it_stopped(videos, tmp_path):
    """SIGKILL: complete files of clips stay and are used, and processes end."""
    script = (
        "from pathlib import Path\n"
        "from avloc.data_pipelines.builders.decoding import ClipStore\n"
        "from tests.data_pipelines.builders.test_decoding import recordings\n"
        "if __name__ == '__main__':\n"
        f"    ClipStore(Path({str(tmp_path)!r})).fill(recordings(Path({str(videos)!r})), 2)\n"
    )
    (tmp_path / "run.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.zip")) and time.monotonic() < deadline:
        time.sleep(0.005)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while any(map(_runs, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs, started))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.zip")}
    assert kept
    store, wanted = ClipStore(tmp_path), recordings(videos)
    store.fill(wanted, 0)
    assert [store.load(recording).clips for recording in wanted] == [(0, 1)] * 12
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert list(tmp_path.glob("*.part")) == []


def _runs(process: psutil.Process) -> bool:
    """Whether a process still does anything; an orphan may stay as a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _crash(recording: Recording, seconds: int, target: Path) -> None:
    if recording.path.name == "1.mp4":
        os._exit(11)
    decoding.store(recording, seconds, target)


def test_a_video_that_crashes_the_decoder_is_a_bad_file(videos, tmp_path, monkeypatch):
    wanted, store = recordings(videos)[:4], ClipStore(tmp_path)
    monkeypatch.setattr(decoding, "store", _crash)
    store.fill(wanted, 2)
    problems = [store.load(recording).problem for recording in wanted]
    assert problems == [None, workers.CRASHED, None, None]
    assert store.load(wanted[0]).clips == (0, 1)


def _square(number: int, folder: str) -> None:
    Path(folder, f"{number**2}").touch()


def test_jobs_are_taken_as_they_are_needed(tmp_path):
    taken = []

    def jobs():
        for number in range(40):
            taken.append(number)
            yield number, str(tmp_path)

    done = workers.run(_square, jobs(), 1)
    first, ended = next(done)
    assert ended is None
    assert len(taken) < 10
    assert sorted([first[0], *(job[0] for job, _ in done)]) == list(range(40))
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(np.arange(40) ** 2)


def _fail(number: int) -> None:
    raise OSError("disk full")


def test_a_fault_that_is_not_the_videos_stops_everything():
    with pytest.raises(OSError, match="disk full"):
        list(workers.run(_fail, [(1,), (2,)], 1))


def _misbehave(kind: str) -> None:
    if kind == "hang":  # as a decoder that never returns to Python
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    if kind in ("loop", "hang"):
        time.sleep(60)
    if kind == "grow":
        bytearray(1 << 30)


def test_what_takes_too_long_or_too_much_is_ended_and_the_rest_goes_on(monkeypatch):
    monkeypatch.setattr(limits, "MEMORY", 1 << 29)
    monkeypatch.setattr(limits, "GRACE", 0.1)
    kinds = ["fine", "loop", "hang", "grow", "fine too"]
    done = workers.run(_misbehave, [(kind,) for kind in kinds], 2, seconds=lambda job: 0.5)
    assert {kind: ended for (kind,), ended in done} == {
        "fine": None,
        "loop": "it took longer than 0.5 s",
        "hang": "the decoder crashed on it, or never ended",
        "grow": "it needs too much memory",
        "fine too": None,
    }


def test_a_limit_holds_in_this_process_too():
    ((_, ended),) = workers.run(_misbehave, [("loop",)], 0, seconds=lambda job: 0.1)
    assert ended == "it took longer than 0.1 s"


def test_a_larger_file_may_take_longer(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(2_000_000))
    assert limits.allowed(tmp_path / "a.mp4", None) == 180 + 10

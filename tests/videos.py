"""Real video files of known content, written for tests.

The picture is a coloured square on grey that crosses the frame from left to right once a second,
so that a decoded frame tells its time within the second (`place`) and its colour (`colour`). The
sound is a tone whose pitch rises by `PITCH_STEP` Hz a second, so that a decoded second tells which
it is (`pitch`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PITCH_STEP = 100.0
"""By how many Hz the tone rises from one second to the next."""

_CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("mpeg4", "aac"),
    ".m4v": ("libx264", "aac"),
    ".mkv": ("mpeg4", "flac"),
    ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "libmp3lame"),
}


def square_frame(time: float, size: tuple[int, int], colour: tuple[int, int, int]) -> np.ndarray:
    """The `[height, width, 3]` uint8 frame shown at `time` seconds."""
    width, height = size
    frame = np.full((height, width, 3), 128, np.uint8)
    side = height // 3
    left = round((time % 1.0) * (width - side))
    frame[side : 2 * side, left : left + side] = colour
    return frame


def tone(
    seconds: float, sample_rate: int, channels: int = 1, frequency: float = 400.0
) -> np.ndarray:
    """`[channels, samples]` float32: in second s a sine of `frequency + s * PITCH_STEP` Hz."""
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = frequency + np.floor(times) * PITCH_STEP
    wave = 0.5 * np.sin(2 * np.pi * pitch * times)
    return np.tile(wave.astype(np.float32), (channels, 1))


def write_video(
    path: str | Path,
    *,
    seconds: float = 2.0,
    size: tuple[int, int] = (96, 64),
    rate: Fraction | int = 25,
    times: Sequence[float] | None = None,
    sample_rate: int = 44100,
    channels: int = 2,
    frequency: float = 400.0,
    colour: tuple[int, int, int] = (220, 30, 30),
    pictures: bool = True,
    sound: bool = True,
    sound_seconds: float | None = None,
    sound_gap: tuple[float, float] | None = None,
    sound_delay: float = 0.0,
    rotation: int = 0,
) -> Path:
    """Writes a video; the container and codecs follow the name's ending.

    Args:
      path: ends in mp4, mov, m4v, mkv, webm or avi.
      seconds: length of the pictures, and of the sound unless `sound_seconds` is given.
      size: width and height in pixels, as coded.
      rate: frames a second.
      times: time of each frame in seconds, for a variable rate; `rate` is not used then.
      sample_rate: in Hz (webm: 48000 whatever is asked, as its codec needs).
      channels: 1, 2 or 6.
      frequency: of the tone in the first second, in Hz.
      colour: of the square.
      pictures: whether there is a picture track.
      sound: whether there is a sound track.
      sound_seconds: length of the sound.
      sound_gap: (start, end) in seconds where the sound track holds no packets.
      sound_delay: by how many seconds the sound track begins after the pictures.
      rotation: degrees, counterclockwise, by which a player has to turn the frames.
    """
    path = Path(path)
    video_codec, audio_codec = _CODECS[path.suffix]
    if path.suffix == ".webm":
        sample_rate = 48000
    if times is None:
        rate = Fraction(rate)
        times = [float(i / rate) for i in range(round(seconds * rate))]
    with av.open(str(path), "w") as container:
        packets = []
        if pictures:
            stream = container.add_stream(video_codec, rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            # Fine enough for any rate used here; avi knows no time stamps, only a rate.
            base = 1 / Fraction(rate) if path.suffix == ".avi" else Fraction(1, 30000)
            stream.time_base = stream.codec_context.time_base = base
            stream.codec_context.bit_rate = 2_000_000
            stream.codec_context.gop_size = 10
            if rotation:
                stream.set_display_rotation(rotation)
            for time in times:
                frame = av.VideoFrame.from_ndarray(square_frame(time, size, colour))
                frame.time_base = base
                frame.pts = round(time / base)
                packets += [(time, packet) for packet in stream.encode(frame)]
            packets += [(times[-1], packet) for packet in stream.encode()]
        if sound:
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
            stream = container.add_stream(audio_codec, rate=sample_rate, layout=layout)
            stream.time_base = Fraction(1, sample_rate)
            if audio_codec == "aac":
                stream.codec_context.bit_rate = 64_000 * channels
            wave = tone(sound_seconds or seconds, sample_rate, channels, frequency)
            for start in range(0, wave.shape[1], 1024):
                chunk = np.ascontiguousarray(wave[:, start : start + 1024])
                time = start / sample_rate
                if sound_gap and sound_gap[0] <= time < sound_gap[1]:
                    continue
                frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=layout)
                frame.sample_rate = sample_rate
                frame.time_base = Fraction(1, sample_rate)
                frame.pts = start + round(sound_delay * sample_rate)
                packets += [(time, packet) for packet in stream.encode(frame)]
            packets += [(sound_seconds or seconds, packet) for packet in stream.encode()]
        for _, packet in sorted(packets, key=lambda item: item[0]):
            container.mux(packet)
    return path


def damage(path: str | Path, start: float = 0.5, length: float = 0.1) -> Path:
    """Overwrites a stretch of a file, both given as fractions of its length, with noise."""
    path = Path(path)
    data = bytearray(path.read_bytes())
    first, count = round(start * len(data)), round(length * len(data))
    data[first : first + count] = np.random.default_rng(0).bytes(count)
    path.write_bytes(data)
    return path


def truncate(path: str | Path, keep: float = 0.5) -> Path:
    """Cuts the end of a file off; `keep` is the fraction that stays."""
    path = Path(path)
    data = path.read_bytes()
    path.write_bytes(data[: round(keep * len(data))])
    return path


def place(frame: np.ndarray) -> float:
    """Time within the second that a decoded frame of `square_frame` shows, 0 to 1."""
    height, width = frame.shape[:2]
    square = np.abs(frame.astype(int) - 128).max(-1) > 48
    side = height // 3
    return (np.nonzero(square)[1].mean() - (side - 1) / 2) / (width - side)


def colour(frame: np.ndarray) -> np.ndarray:
    """Median colour of the square in a decoded frame, `[3]`."""
    square = np.abs(frame.astype(int) - 128).max(-1) > 48
    return np.median(frame[square], axis=0)


def pitch(waveform: np.ndarray, sample_rate: int = 16000) -> float:
    """Strongest frequency of a waveform, in Hz (resolution: the inverse of its length)."""
    window = waveform.astype(float) * np.hanning(len(waveform))
    return float(np.abs(np.fft.rfft(window)).argmax() * sample_rate / len(waveform))


def write_counted(path: str | Path, seconds: int = 20, keys: int = 5) -> Path:
    """Writes a video whose grey tells the second (`counted`), with a key frame every `keys` s.

    Its sound is the tone of `write_video`.
    """
    rate, sample_rate, wave = 4, 16000, tone(seconds, 16000)
    with av.open(str(path), "w") as container:
        options = {"sc_threshold": "0", "bf": "0"}
        video = container.add_stream("libx264", rate=rate, options=options)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        video.codec_context.gop_size = keys * rate
        audio = container.add_stream("aac", rate=sample_rate, layout="mono")
        packets = []
        for place in range(seconds * rate):
            grey = np.full((32, 48, 3), 10 * (place // rate), np.uint8)
            packets += video.encode(av.VideoFrame.from_ndarray(grey))
        for start in range(0, wave.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(wave[:, start : start + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts = sample_rate, start
            packets += audio.encode(frame)
        packets += [*video.encode(), *audio.encode()]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return Path(path)


def counted(frame: np.ndarray) -> float:
    """The second that a decoded frame of `write_counted` shows."""
    return float(np.median(frame)) / 10


def copy_part(
    source: str | Path,
    target: str | Path,
    start: float,
    length: float | None = None,
    *,
    key_before: bool = False,
    clock: float = 0.0,
) -> Path:
    """Cuts a part out without decoding, as `ffmpeg -c copy` does.

    Args:
      source: of any format.
      target: its ending says the format.
      start: of the part, in seconds.
      length: in seconds; None: to the end.
      key_before: begin at the key frame before the start, as `-ss` before `-i` does in most
        formats; otherwise at the one after it, on the clock of the part (`-ss` after `-i`).
      clock: what the clock of the new file shows at its start.
    """
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        packets = [packet for packet in old.demux() if packet.dts is not None]
        tracks = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        begin = start
        if key_before:
            times = (float(p.pts * p.time_base) for p in packets if p.stream.type == "video")
            keys = [p.is_keyframe for p in packets if p.stream.type == "video"]
            begin = max(t for t, key in zip(times, keys, strict=True) if key and t <= start)
        begun = set()
        for packet in packets:
            time = float(packet.pts * packet.time_base)
            begun |= {packet.stream.index} if packet.is_keyframe and time >= begin else set()
            if packet.stream.index in begun and (length is None or time < start + length):
                shift = round((begin - clock) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = tracks[packet.stream.index]
                new.mux(packet)
    return Path(target)


def jump(source: str | Path, target: str | Path, kind: str, after: float, by: float) -> Path:
    """Copies a video whose time stamps of `video` or `audio` jump `by` seconds after a time."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        tracks = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == kind and packet.pts * packet.time_base >= after:
                shift = round(by / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = tracks[packet.stream.index]
            new.mux(packet)
    return Path(target)


def claim(path: str | Path, seconds: float) -> Path:
    """Makes the header of a Matroska file claim that length."""
    data = bytearray(Path(path).read_bytes())
    place = data.index(b"\x44\x89\x88") + 3  # Duration, a float of eight bytes, in ms
    data[place : place + 8] = struct.pack(">d", 1000 * seconds)
    Path(path).write_bytes(data)
    return Path(path)


def write_pcm(path: str | Path, seconds: int = 2) -> Path:
    """Writes a video whose sound is PCM in stereo, for which avi and mkv name no layout."""
    times, rate = np.arange(16000 * seconds) / 16000, 8
    wave = np.int16(16384 * np.sin(2 * np.pi * (400 + PITCH_STEP * np.floor(times)) * times))
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=rate)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16000, layout="stereo")
        for place in range(seconds * rate):
            drawn = square_frame(place / rate, (96, 64), (220, 30, 30))
            container.mux(video.encode(av.VideoFrame.from_ndarray(drawn)))
            samples = wave[16000 * place // rate : 16000 * (place + 1) // rate]
            frame = av.AudioFrame.from_ndarray(np.repeat(samples, 2)[None], "s16", "stereo")
            frame.sample_rate, frame.pts = 16000, 16000 * place // rate
            container.mux(audio.encode(frame))
        container.mux([*video.encode(), *audio.encode()])
    return Path(path)

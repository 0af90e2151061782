"""What a backbone asks of its input: settings alone; `data_pipelines.media` computes by them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scaling:
    """How pixels become numbers: `(x / 255 - mean) / deviation`, for each channel of RGB.

    The default is ImageNet's, which torchvision's and timm's weights expect.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class LogMel:
    """A front end: the setting of a log-mel spectrogram, and the sound that it is made of.

    The default is that of DSOL, CSOL and IEr (201 x 64 for one second). IEr writes "window length
    of 160 ms, hop length of 80 ms", which would leave 13 frames a second; it is the same 160 and 80
    samples. At this length two mel filters hold no FFT bin and stay empty.

    Attributes:
      sample_rate: of the waveform, in Hz.
      seconds: length of sound that the backbone needs; None where any will do.
      n_fft: window and FFT length, in samples.
      hop: samples from one frame to the next.
      n_mels: number of mel bins.
      f_min, f_max: range of the mel bins, in Hz.
      top_db: quieter values are raised to this many dB under the clip's maximum.
    """

    sample_rate: int = 16000
    seconds: float | None = None
    n_fft: int = 160
    hop: int = 80
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float = 8000.0
    top_db: float = 80.0


IMAGENET = Scaling()
PAPER_LOG_MEL = LogMel()

COARSE_LOG_MEL = LogMel(n_fft=640, hop=320)

FRONT_ENDS = {
    "paper": PAPER_LOG_MEL,
    "fine": LogMel(n_fft=1024, hop=256, f_min=40.0),
    "coarse": COARSE_LOG_MEL,
    "coarse_22k": LogMel(sample_rate=22050, n_fft=882, hop=441, f_max=11025.0),
}
"""`config.model.front_end`: the papers', with bins of 100 Hz; one that tells pitches 16 Hz apart
and has a third of the frames (63 x 64 for one second); and C2F's windows of 40 ms every 20 ms (51 x
64), for sound stored at 16 kHz, which holds nothing above 8 kHz, or at the paper's 22.05 kHz."""

"""The available data sets: what each is made from, and who publishes that."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Entry(NamedTuple):
    """A data set that can be built.

    A builder that takes a folder has `config_of(source, name)`; one that is made from another data
    set has `config_from(built, name)`, `built` being the opened builder of that one. The results
    have `source` and `fingerprint()`.

    Attributes:
      builder: module and class of its TFDS builder.
      description: one line.
      needs: what the folder given by `--source` holds, one line; empty: it takes none.
      publisher: who publishes that, one line; empty: it is the user's own, or generated.
      made_from: name of the built data set that it is made from if no folder is given; empty:
        none.
    """

    builder: str
    description: str
    needs: str = ""
    publisher: str = ""
    made_from: str = ""

    @property
    def needs_source(self) -> bool:
        """Whether it cannot be built without a folder."""
        return bool(self.needs) and not self.made_from

    @property
    def declared(self) -> bool:
        """Whether its configurations are those of `BUILDER_CONFIGS`, independent of any folder."""
        return not self.needs and not self.made_from

    @property
    def named_by_folder(self) -> bool:
        """Whether a configuration is named after the user's folder."""
        return self.needs_source and not self.publisher


def _builder(name: str) -> str:
    return f"avloc.data_pipelines.builders.{name}.{name}_dataset_builder:Builder"


_CSOL = "gewu-lab.github.io/CSOL_TPAMI2021"
_DSOL = "github.com/DTaoo/Discriminative-Sounding-Objects-Localization"
_MUSIC = "github.com/roudimit/MUSIC_dataset"
_VGGSOUND = "www.robots.ox.ac.uk/~vgg/data/vggsound"
_VGGSS = "github.com/hche11/Localizing-Visual-Sounds-the-Hard-Way"
_ARCHIVE = "the published archive: video/ID.jpg, audio/ID.pkl, box/ID.npy"

DATASETS: Mapping[str, Entry] = MappingProxyType(
    {
        "toy_orchestra": Entry(
            _builder("toy_orchestra"), "procedural sounding objects, made in under a minute"
        ),
        "video_folder": Entry(
            _builder("video_folder"),
            "your own videos: CLASS/*.mp4, or *.mp4",
            needs="videos, in one subfolder per class or directly in the folder",
        ),
        "scene_folder": Entry(
            _builder("scene_folder"),
            "your own pictures with sounds and boxes, for testing",
            needs="pictures, wav files and annotations.json, here or in each subfolder",
        ),
        "music": Entry(
            _builder("music"),
            "solos and duets of 11 instruments, tested on boxes",
            needs="videos by YouTube id, the lists of videos, the split lists and label files",
            publisher=f"{_MUSIC} (lists of videos), {_DSOL} (splits and boxes)",
        ),
        "music21": Entry(
            _builder("music21"),
            "solos of 21 instruments, without boxes",
            needs="videos by YouTube id, MUSIC21_solo_videos.json",
            publisher=_MUSIC,
        ),
        "music_synthetic": Entry(
            _builder("music_synthetic"),
            "scenes of four solos, two of them heard",
            needs=_ARCHIVE,
            publisher="zenodo.org/record/4079386",
            made_from="music",
        ),
        "music_unconstrained": Entry(
            _builder("music_unconstrained"),
            "scenes of solos, any number of them heard",
            made_from="music",
        ),
        "audioset_instrument": Entry(
            _builder("audioset_instrument"),
            "clips of AudioSet with one or more of 15 instruments, with boxes",
            needs="videos by YouTube id, audioset_box.json, multi_source_coco.json, AudioSet's CSV",
            publisher=f"research.google.com/audioset (segments), {_DSOL} (boxes)",
        ),
        "vggsound": Entry(
            _builder("vggsound"),
            "98 categories of VGGSound",
            needs="videos by YouTube id, trainsolo.txt, trainsyn.txt, eval.txt, vggsound.csv",
            publisher=f"{_VGGSOUND} (categories), {_CSOL} (lists)",
        ),
        "vggsound_synthetic": Entry(
            _builder("vggsound_synthetic"),
            "scenes of four clips, two of them heard",
            made_from="vggsound",
        ),
        "vggsound_unconstrained": Entry(
            _builder("vggsound_unconstrained"),
            "scenes of clips, any number of them heard",
            made_from="vggsound",
        ),
        "realistic_music": Entry(
            _builder("realistic_music"),
            "real scenes of several instruments, some of them silent",
            needs="frames, wav files and annotations.json in the plain layout",
            publisher=f"{_CSOL} (ask the authors)",
        ),
        "daily_life": Entry(
            _builder("daily_life"),
            "real scenes of two everyday sounds",
            needs="frames, wav files and annotations.json in the plain layout",
            publisher=f"{_CSOL} (ask the authors)",
        ),
        "flickr_soundnet": Entry(
            _builder("flickr_soundnet"),
            "pictures with 5 s of sound, boxes by several annotators",
            needs="pictures, sounds and the annotators' XML files",
            publisher="github.com/ardasnck/learning_to_localize_sound_source",
        ),
        "vggss": Entry(
            _builder("vggss"),
            "VGG-SS: boxes in 5,000 clips of VGGSound, 220 categories",
            needs="videos by YouTube id, vggss.json",
            publisher=_VGGSS,
        ),
        "vggsound_duet": Entry(
            _builder("vggsound_duet"),
            "clips of VGGSound with two sources",
            needs="videos by YouTube id and the authors' list",
            publisher="github.com/stoneMo/AVGN",
        ),
        "ave": Entry(
            _builder("ave"),
            "AVE: ten-second videos of 28 audio-visual events",
            needs="videos by YouTube id, Annotations.txt, the split lists",
            publisher="github.com/YapengTian/AVE-ECCV18",
        ),
    }
)

"""`music`: solos and duets of 11 instruments, tested on annotated frames (MUSIC; DSOL, CSOL)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.music import (
    MUSIC_CLASSES,
    first_videos,
    read_annotated_frames,
    read_pairs,
    read_videos,
)
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.collection import SOUND_ENDINGS, Collection, Folder, Recording
from avloc.data_pipelines.records.splits import apart

VIDEOS = ("MUSIC_solo_videos.json", "MUSIC_duet_videos.json")
VIDEOS_OF = "github.com/roudimit/MUSIC_dataset"
LISTS = {
    "train": "solo_training_1.txt",
    "synthesis": "solo_training_2.txt",
    "validation": "solo_validation.txt",
    "test": "solo_testing.txt",
    "duet_train": "duet_pairs_train.txt",
    "duet_test": "duet_pairs_val.txt",
}
FRAMES = {"test": "solotest.json", "duet_test": "duettest.json"}
SEPARATED_SECONDS = 6
"""Length of the clips that separation is learnt from (Sound-of-Pixels)."""
LISTS_OF = "github.com/DTaoo/Discriminative-Sounding-Objects-Localization"


def collection(
    folder: Folder, *, allow_overlap: bool = False, separation: bool = False
) -> Collection:
    """The authors' splits; tests are of the annotated frames.

    Videos are `ID.mp4` or `ID_0_1000.mp4`; where a sound file of that name lies in the folder, the
    sound is read from it. All testing ids are in the validation list too; they are used for the
    test only.

    Args:
      folder: the user's.
      allow_overlap: whether ids of the training lists stay in the test splits.
      separation: whether clips and splits are those of sound separation, see `for_separation`.
    """
    if separation:
        return for_separation(folder)
    listings = {name: folder.annotation(name, of=VIDEOS_OF) for name in VIDEOS}
    lists = {split: folder.annotation(name, of=LISTS_OF) for split, name in LISTS.items()}
    frames = {split: folder.annotation(name, of=LISTS_OF) for split, name in FRAMES.items()}
    labels: dict[str, tuple[int, ...]] = {}
    for path in listings.values():
        for id, names in read_videos(path).items():
            if unknown := [name for name in names if name not in MUSIC_CLASSES]:
                raise ValueError(
                    f"{path}: {id} is of {unknown[0]!r}, not one of the 11 instruments"
                )
            labels[id] = tuple(MUSIC_CLASSES.index(name) for name in names)
    ids, notes = apart(
        {split: read_pairs(path) for split, path in lists.items()}, allow_overlap=allow_overlap
    )
    moments = {split: read_annotated_frames(path, MUSIC_CLASSES) for split, path in frames.items()}
    for split, known in moments.items():
        notes += _unmatched(split, ids[split], known, frames[split].name)
        ids[split] = [id for id in ids[split] if id in known]
    if unknown := sum(id not in labels for part in ids.values() for id in part):
        notes.append(f"{unknown} listed ids have no category: not in {' or '.join(VIDEOS)}")

    def recording(id: str, split: str) -> Recording:
        return Recording(
            id=id,
            labels=labels.get(id, ()),
            path=folder.find(id),
            sound=folder.find(id, SOUND_ENDINGS),
            moments=moments[split][id] if split in moments else None,
        )

    return Collection(
        classes=MUSIC_CLASSES,
        splits={split: tuple(recording(id, split) for id in part) for split, part in ids.items()},
        notes=tuple(notes),
        annotations=(*listings.values(), *lists.values(), *frames.values()),
    )


def for_separation(folder: Folder) -> Collection:
    """Six-second clips; of each instrument's solos the first is for validation, the second tests.

    By the order of the authors' list, whether a video could still be had or not, as C2F divides
    them. There are no boxes.
    """
    solos, duets = (folder.annotation(name, of=VIDEOS_OF) for name in VIDEOS)
    listed = {solos: read_videos(solos), duets: read_videos(duets)}
    two, train = first_videos(listed[solos], 2)
    validation, test = first_videos({id: listed[solos][id] for id in two}, 1)
    # A video of both lists holds two instruments.
    train = [id for id in train if id not in listed[duets]]
    duet_train = [id for id in listed[duets] if id not in two]

    def recordings(ids: Iterable[str], names: Mapping[str, Sequence[str]]) -> tuple[Recording, ...]:
        return tuple(
            Recording(
                id,
                tuple(MUSIC_CLASSES.index(name) for name in names[id]),
                folder.find(id),
                folder.find(id, SOUND_ENDINGS),
            )
            for id in ids
        )

    return Collection(
        classes=MUSIC_CLASSES,
        splits={
            "train": recordings(train, listed[solos]),
            "validation": recordings(validation, listed[solos]),
            "test": recordings(test, listed[solos]),
            "duet_train": recordings(duet_train, listed[duets]),
        },
        annotations=(solos, duets),
        clip_seconds=SEPARATED_SECONDS,
    )


def _unmatched(
    split: str, listed: Sequence[str], annotated: Mapping[str, object], file: str
) -> list[str]:
    """Sentences about ids that are only in the list, or only in the label file."""
    bare = [id for id in listed if id not in annotated]
    extra = [id for id in annotated if id not in listed]
    notes = []
    if bare:
        notes.append(f"{len(bare)} of {split} left out, not in {file}: {', '.join(bare[:3])}")
    if extra:
        notes.append(f"{len(extra)} of {file} left out, not in {split}: {', '.join(extra[:3])}")
    return notes


class Builder(RecordingsBuilder):
    """MUSIC: solos and duets of 11 instruments, from YouTube.

    `train` is for stage one, `synthesis` for scenes; `test` and `duet_test` hold the annotated
    frames, those without a box included. `music/allow_overlap` leaves ids of the training lists in
    the test splits. `music/separation` has six-second clips and the splits of sound separation.
    """

    VERSION = tfds.core.Version("1.1.0")
    VARIANTS = MappingProxyType(
        {
            "default": {},
            "allow_overlap": {"allow_overlap": True},
            "separation": {"separation": True},
        }
    )
    collection = staticmethod(collection)

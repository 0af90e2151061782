"""Whole files of every kind, small, that the inputs are damaged copies of."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import av
import numpy as np
from PIL import Image

from avloc.cli import main
from avloc.data_pipelines.dataset import Dataset
from tests.command_line import CONFIG
from tests.data_pipelines.builders.music_folder import write_annotations
from tests.data_pipelines.builders.test_published_sets import CSV, VGGSOUND, VGGSS, events
from tests.runs.legacy_pth import saved
from tests.test_safetensors import file_of
from tests.torchvision_resnet import state_dict
from tests.videos import tone, write_video

DATA = "toy_orchestra/tiny"
_RATE = 16000
_SOUNDS = {"wav": ("pcm_s16le", "s16"), "flac": ("flac", "s16"), "mp3": ("libmp3lame", "s16p")}
_ID = "AAAAAAAAAA"


def make_media(folder: Path) -> None:
    """`videos`, `sounds` and `pictures`, in every format that is read."""
    (videos, sounds, pictures) = (folder / name for name in ("videos", "sounds", "pictures"))
    for made in (videos, sounds, pictures):
        made.mkdir(parents=True)
    for ending in ("mp4", "mov", "mkv", "webm", "avi"):
        write_video(
            videos / f"a.{ending}",
            seconds=1.5,
            size=(48, 32),
            rate=8,
            sample_rate=_RATE,
            channels=1,
        )
    for ending, (codec, form) in _SOUNDS.items():
        _write_sound(sounds / f"a.{ending}", codec, form)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    for ending in ("png", "jpg", "bmp", "gif", "webp"):
        picture.save(pictures / f"a.{ending}")
    Image.fromarray(np.arange(768, dtype=np.uint16).reshape(24, 32) * 80).save(pictures / "b.png")
    picture.convert("CMYK").save(pictures / "b.jpg")
    picture.convert("P").save(pictures / "c.png")


def _write_sound(path: Path, codec: str, form: str) -> None:
    wave = np.int16(32767 * tone(1.2, _RATE))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=_RATE, layout="mono")
        for start in range(0, wave.shape[1], 1152):
            part = np.ascontiguousarray(wave[:, start : start + 1152])
            frame = av.AudioFrame.from_ndarray(part, form, "mono")
            frame.sample_rate, frame.pts = _RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_annotations(folder: Path) -> None:
    """A folder in the layout of each published set; videos are empty files."""
    write_annotations(folder / "music")
    (folder / "music21").mkdir()
    listed = (folder / "music" / "MUSIC_solo_videos.json").read_text()
    (folder / "music21" / "MUSIC21_solo_videos.json").write_text(listed)
    events_of = ("Bark&AAAAAAAAAA0&good&2&9", "Flute&AAAAAAAAAA1&good&0&10")
    ave = {
        f"{name}.txt": events(*events_of)
        for name in ("trainSet", "valSet", "testSet", "Annotations")
    }
    vote = "<annotation><bbox><xmin>1</xmin><ymin>2</ymin><xmax>99</xmax><ymax>88</ymax></bbox>"
    object_ = {"class": "pig", "bbox": [0.5, 0, 0.25, 0.5], "sounding": True}
    scene = {"id": "a", "image": "a.jpg", "audio": "a.wav", "objects": [object_]}
    box = {"box": [0.1, 0.2, 0.3, 0.4], "category": "cello", "sounding": True}
    item = {"id": "a", "frame": "a.jpg", "sound": "a.wav", "start": 0.0, "objects": [box]}
    sets = {
        "vggsound": {**VGGSOUND, "vggsound.csv": CSV, "vggss.json": VGGSS},
        "vggss": {"vggss.json": VGGSS},
        "ave": ave,
        "flickr_soundnet": {"test_list.txt": "1\n2\n", "1.xml": vote + "</annotation>"},
        "scene_folder": {"annotations.json": [scene, scene | {"id": "b", "offscreen": ["fox"]}]},
        "realistic_music": {"annotations.json": {"classes": ["cello", "flute"], "items": [item]}},
        "audioset_instrument": _audioset(),
    }
    for name, files in sets.items():
        for file, content in files.items():
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        for number in range(3):
            (folder / name / f"{_ID}{number}.mp4").touch()


def _audioset() -> dict[str, object]:
    row = [0.1, 0.2, 0.3, 0.4]
    coco = {
        "categories": [{"id": n, "name": name} for n, name in enumerate(("accordion", "piano"))],
        "images": [{"id": n} for n in (0, 1, 10)],
        "annotations": [{"image_id": n, "category_id": n % 2, "bbox": row} for n in (0, 1, 10)],
    }
    boxes = {f"{_ID}{n // 10}/{n % 10}": {"bbox": [{"normbox": row}]} for n in (0, 1, 10)}
    segments = "# comment\n" + "".join(
        f'{_ID}{n}, 30.000, 40.000, "/m/05r5c,/m/0mkg"\n' for n in range(4)
    )
    return {
        "audioset_box.json": boxes,
        "multi_source_coco.json": coco,
        "balanced_train_segments.csv": segments,
        "unbalanced_train_segments.csv": segments.replace(_ID, "BBBBBBBBBB"),
    }


def make_archive(folder: Path) -> None:
    """The published archive of MUSIC-Synthetic, one scene."""
    for part in ("video", "audio", "box"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", (32, 32), (9, 99, 199)).save(folder / "video" / "a.jpg")
    rng = np.random.default_rng(0)
    mel = rng.uniform(-90, -10, (201, 64)).astype(np.float32)
    (folder / "audio" / "a.pkl").write_bytes(pickle.dumps(mel, protocol=4))
    np.save(folder / "box" / "a.npy", np.array([[0.1, 0.05, 0.3, 0.4, 1]]))


def make_maps(folder: Path, data: Path) -> None:
    """Maps of the items of two splits: two `.npz`, a `.safetensors` and a folder."""
    folder.mkdir(parents=True)
    dataset = Dataset.open(DATA, data)
    ids = [r["id"].decode() for s in ("test", "cocktail_test") for r in dataset.source(s)]
    rng = np.random.default_rng(0)
    maps = {id: rng.random((4, 4)).astype(np.float32) for id in ids}
    np.savez(folder / "plain.npz", **maps)
    np.savez_compressed(folder / "packed.npz", **maps)
    (folder / "maps.safetensors").write_bytes(file_of(maps))
    (folder / "files").mkdir()
    for id, values in maps.items():
        np.save(folder / "files" / f"{id}.npy", values)


def make_weights(folder: Path) -> None:
    """A narrow ResNet-18."""
    folder.mkdir(parents=True)
    state = state_dict(width=1)
    (folder / "resnet18.safetensors").write_bytes(file_of(state))
    (folder / "resnet18.pth").write_bytes(saved(state))


def make_run(folder: Path) -> None:
    """`data`, the toy data set, and `run`, a training on it that ended with stage one."""
    data = ("--data-dir", str(folder / "data"))
    train = ("train", *CONFIG, "--config.stage_two.epochs=0", "--workdir", str(folder / "run"))
    for words in (("data", "build", DATA, *data), (*train, *data)):
        if main(list(words)):
            raise RuntimeError(f"avloc {' '.join(words)} failed")

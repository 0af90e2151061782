"""The kinds of input: each damages copies of whole files and says what command reads them."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from scripts.fuzzing import seeds
from scripts.fuzzing.damage import damage_bytes, damage_file, odd_text

Words = list[str]
Make = Callable[[Random, Path, Path], Words]
"""Makes an input of the whole files in one folder, inside another, empty one; gives the command."""


def annotations(rng: Random, whole: Path, place: Path) -> Words:
    """One or two damaged files of a published set; one in eight of a set's scores, too."""
    name = rng.choice(sorted(path.name for path in (whole / "annotations").iterdir()))
    source = Path(shutil.copytree(whole / "annotations" / name, place / "source"))
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and path.suffix != ".mp4"]
    for path in rng.sample(files, min(len(files), rng.choice((1, 1, 2)))):
        damage_file(path, rng)
    out = ("--out", str(place / "out"))
    if rng.random() < 0.12:
        asked = ("--data", name, "--split", "test", "--protocol", "paper-solo")
        return ["score", "--annotations", str(source), *asked, *out]
    return ["data", "doctor", name, "--source", str(source), *out]


def archives(rng: Random, whole: Path, place: Path) -> Words:
    """A damaged picture, pickle or array of boxes of MUSIC-Synthetic."""
    source = Path(shutil.copytree(whole / "archive", place / "source"))
    damage_file(rng.choice(sorted(p for p in source.rglob("*") if p.is_file())), rng)
    return _build("music_synthetic", source, place)


def media(rng: Random, whole: Path, place: Path) -> Words:
    """A damaged video, sound or picture: localized, examined, or built beside whole ones."""
    what = rng.choice(("videos", "videos", "sounds", "pictures"))
    path = rng.choice(sorted((whole / "media" / what).iterdir()))
    bad = place / path.name
    bad.write_bytes(damage_bytes(path.read_bytes(), rng))
    good = whole / "media" / "videos" / "a.mp4"
    if what == "videos":
        verb = rng.choice(("localize", "doctor", "doctor", "build"))
        if verb == "localize":
            return _localize(whole, place, "--video", bad)
        source = place / "source"
        for file in ("a/good.mp4", "b/good.mp4", f"b/bad{bad.suffix}"):
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(bad if "bad" in file else good, source / file)
        if verb == "build":
            return _build("video_folder", source, place)
        asked = ("--source", str(source), "--out", str(place / "out"))
        return ["data", "doctor", "video_folder", *asked, "--decode"]
    image, sound = whole / "media" / "pictures" / "a.png", whole / "media" / "sounds" / "a.wav"
    image, sound = (bad, sound) if what == "pictures" else (image, bad)
    if rng.random() < 0.3:
        return _localize(whole, place, "--image", image, "--audio", sound)
    return _scenes(place, image, sound)


def _scenes(place: Path, image: Path, sound: Path) -> Words:
    """Builds a folder of a scene of a picture and a sound."""
    source = place / "source"
    source.mkdir()
    entry = {"id": "a", "image": f"a{image.suffix}", "audio": f"a{sound.suffix}", "objects": []}
    entry["objects"].append({"class": "pig", "bbox": [0.5, 0, 0.25, 0.5], "sounding": True})
    shutil.copy(image, source / entry["image"])
    shutil.copy(sound, source / entry["audio"])
    (source / "annotations.json").write_text(json.dumps([entry]))
    return _build("scene_folder", source, place)


def _build(name: str, source: Path, place: Path) -> Words:
    return ["data", "build", name, "--source", str(source), "--data-dir", str(place / "data")]


def _localize(whole: Path, place: Path, *asked: object) -> Words:
    run = ("--workdir", str(whole / "trained" / "run"), "--out", str(place / "out"))
    return ["localize", *run, *map(str, asked)]


def maps(rng: Random, whole: Path, place: Path) -> Words:
    """Damaged bytes of a file of maps, or a sound one of odd arrays."""
    names = ("plain.npz", "packed.npz", "maps.safetensors", "files")
    source = whole / "maps" / rng.choice(names)
    given = place / source.name
    if source.is_dir():
        shutil.copytree(source, given)
        damage_file(rng.choice(sorted(given.iterdir())), rng)
    elif source.suffix == ".npz" and rng.random() < 0.6:
        _odd_members(source, given, rng)
    else:
        given.write_bytes(damage_bytes(source.read_bytes(), rng))
    protocol = rng.choice(("paper-solo", "paper-multi", "all"))
    asked = ("--data", seeds.DATA, "--split", rng.choice(("test", "cocktail_test")))
    asked += ("--protocol", protocol, "--data-dir", str(whole / "trained" / "data"))
    return ["score", "--maps", str(given), *asked]


def _odd_members(source: Path, given: Path, rng: Random) -> None:
    """Rewrites an `.npz` with some members of odd shape, type, name or header."""
    shapes = ((), (0,), (4,), (0, 0), (1, 1), (4, 4, 3), (4, 4, 10), (2, 2, 2, 2), (1, 5000))
    kinds = ("?", "i8", "u1", "f2", "f8", ">f4", "c8", "S3", "U2", "M8[s]", "V5", "O", "i4,f4")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(given, "w", rng.choice((0, 8))) as new:
        hit = set(rng.sample(old.namelist(), rng.choice((1, 2, len(old.namelist())))))
        shape, kind = rng.choice(shapes), rng.choice(kinds)
        for name in old.namelist():
            content = old.read(name)
            if name in hit:
                match rng.randrange(5):
                    case 0 | 1:
                        file = io.BytesIO()
                        np.save(file, np.zeros(shape, kind), allow_pickle=True)
                        content = file.getvalue()
                    case 2:
                        text = rng.choice((b"(10, 10**9)", b"(True, 4)", b"(-1, 4)", b"(4e0, 4)"))
                        content = content.replace(b"(4, 4)", text)
                    case 3:
                        content = damage_bytes(content, rng)
                    case 4:
                        name = rng.choice(
                            (f"../{name}", f"/{name}", f"é{name}", name[:-4], f"\n{name}")
                        )
            new.writestr(name, content)


def configs(rng: Random, whole: Path, place: Path) -> Words:
    """Odd values of fields, or a damaged config file; a workdir that is a file, so none trains."""
    from avloc.runs.experiment import fields, load_config

    name = rng.choice(("csol_toy", "ier_toy", "csol_folder", "dsol_music"))
    taken = place / "taken"
    taken.touch()
    given = name
    if rng.random() < 0.3:
        import avloc.configs

        given = str(place / "mine.py")
        text = (Path(avloc.configs.__file__).parent / f"{name}.py").read_bytes()
        Path(given).write_bytes(damage_bytes(text, rng))
    known = [field for field, _ in fields(load_config(name))]
    drawn = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        field = rng.choice(known)
        if rng.random() < 0.1:
            field = rng.choice((field[:-1], field.upper(), f"{field}.x", "", ".", field + "[0]"))
        drawn.append(f"--config.{field}={odd_text(rng)}")
    data = ("--data-dir", str(whole / "trained" / "data"))
    base = f"--config.data.name={seeds.DATA}"
    return ["train", "--config", given, "--workdir", str(taken), *data, base, *drawn]


def weights(rng: Random, whole: Path, place: Path) -> Words:
    """Damaged weights."""
    path = rng.choice(sorted((whole / "weights").iterdir()))
    bad = place / path.name
    bad.write_bytes(damage_bytes(path.read_bytes(), rng))
    return ["import-weights", str(bad), "--out", str(place / "out")]


_RUN_FILES = (
    *("config.json", "data.json", "categories.json", "metrics.json", "thresholds.json"),
    *("sessions.json", "train.jsonl", "parameters.txt"),
)


def runs(rng: Random, whole: Path, place: Path) -> Words:
    """A run with one or two damaged files; most often those that a person can read."""
    run = place / "run"
    shutil.copytree(whole / "trained" / "run", run)
    readable = [run / name for name in _RUN_FILES if (run / name).is_file()]
    every = sorted(path for path in run.rglob("*") if path.is_file())
    for path in (
        rng.sample(readable, rng.choice((1, 1, 2)))
        if rng.random() < 0.8
        else (rng.sample(every, 2))
    ):
        if rng.random() < 0.05:
            path.unlink()
        else:
            damage_file(path, rng)
    data = ("--data-dir", str(whole / "trained" / "data"))
    video = ("--video", str(whole / "media" / "videos" / "a.mp4"), "--out", str(place / "out"))
    verbs = {
        "info": ["info", str(run)],
        "json": ["info", str(run), "--json"],
        "report": ["report", "--workdir", str(run), *data],
        "evaluate": ["evaluate", "--workdir", str(run), *data, "--split", "test"],
        "localize": ["localize", "--workdir", str(run), *video],
        "export": ["export", "--checkpoint", str(run), "--out", str(place / "out")],
    }
    return verbs[rng.choice(("info", "info", "info", "json", "localize", "export", *verbs))]


def folders(rng: Random, whole: Path, place: Path) -> Words:
    """A built data set with a damaged file."""
    data = place / "data"
    shutil.copytree(whole / "trained" / "data", data)
    files = sorted(path for path in data.rglob("*") if path.is_file())
    texts = [path for path in files if path.suffix == ".json"]
    for path in rng.sample(texts if rng.random() < 0.7 else files, rng.choice((1, 1, 2))):
        damage_file(path, rng)
    where = ("--data-dir", str(data))
    split = ("--split", rng.choice(("test", "cocktail_test", "train")))
    return rng.choice(
        (
            ["data", "list", *where],
            ["data", "doctor", seeds.DATA, *where, "--out", str(place / "out")],
            ["data", "preview", seeds.DATA, *split, *where, "--out", str(place / "out.png")],
            ["evaluate", "--workdir", str(whole / "trained" / "run"), *where],
        )
    )


KINDS: dict[str, Make] = {
    made.__name__: made
    for made in (annotations, media, maps, configs, weights, runs, folders, archives)
}

SHARES = {"annotations": 5, "media": 4, "maps": 3, "configs": 3, "runs": 3, "folders": 2}
"""How often a kind comes, where that is not once in a round."""

ROUND = [name for name in KINDS for _ in range(SHARES.get(name, 1))]


def kind_of(index: int) -> str:
    """The kind of an input."""
    return ROUND[index * 7 % len(ROUND)]


def make_seeds(folder: Path) -> None:
    """The whole files of every kind, each unless it is there."""
    for name, make in (
        ("trained", seeds.make_run),
        ("media", seeds.make_media),
        ("annotations", seeds.make_annotations),
        ("archive", seeds.make_archive),
        ("weights", seeds.make_weights),
        ("maps", lambda made: seeds.make_maps(made, folder / "trained" / "data")),
    ):
        if not (folder / name).is_dir():
            make(folder / name)

"""A share of the damaged inputs of `scripts/fuzz.py`, in this process."""

import random
from collections import Counter
from pathlib import Path

import pytest

from scripts.fuzzing import damage
from scripts.fuzzing.attempt import BAD, attempt
from scripts.fuzzing.kinds import KINDS, ROUND, kind_of, make_seeds

SEED, INPUTS = 7, 60


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory) -> Path:
    """The whole files; the run and its data are those of the other tests."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "trained").mkdir()
    for name in ("run", "data"):
        (folder / "trained" / name).symlink_to(place / name)
    make_seeds(folder)
    return folder


def test_no_input_breaks_a_command(whole, tmp_path):
    """The kinds that compile nothing; the others take longer, and CI runs them by `make fuzz`."""
    kinds = ("annotations", "archives", "weights")
    quick = [index for index in range(2000) if kind_of(index) in kinds]
    verdicts = [attempt(SEED, index, whole, tmp_path / "job") for index in quick[:INPUTS]]
    assert [verdict for verdict in verdicts if verdict.what in BAD] == []
    counts = Counter(verdict.what for verdict in verdicts)
    assert min(counts["accepted"] + counts["reported"], counts["refused"]) > 3, counts


def test_an_input_is_made_again_from_its_number(whole, tmp_path):
    for kind in KINDS:
        made = []
        for place in (tmp_path / kind / "a", tmp_path / kind / "b"):
            place.mkdir(parents=True)
            words = KINDS[kind](random.Random("7 1"), whole, place)
            files = {
                str(path.relative_to(place)): path.read_bytes()
                for path in place.rglob("*")
                if path.is_file() and path.suffix not in (".npz",)  # they hold the time
            }
            made.append(([word.replace(str(place), "") for word in words], files))
        assert made[0] == made[1], kind


def test_every_kind_has_its_share():
    found = Counter(kind_of(index) for index in range(len(ROUND)))
    assert found == Counter(ROUND) and set(found) == set(KINDS)


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.bin"])
def test_damage_changes_files_and_follows_the_seed(tmp_path, name):
    path, content = tmp_path / name, b'{"a": [1, 2, {"b": "c"}], "d": null}'
    found = []
    for seed in [*range(50), *range(50)]:
        path.write_bytes(content)
        damage.damage_file(path, random.Random(seed))
        found.append(path.read_bytes())
    assert found[:50] == found[50:] and len(set(found)) > 30

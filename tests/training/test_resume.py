"""However a run was broken off, it ends as if it had not been."""

import signal
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

from avloc.machine.stopping import Interrupted
from avloc.runs.folder import RunFolder
from avloc.training.resuming import Checkpoints, Progress, origin, refuse_another
from avloc.types import DatasetInfo, Phase, TrainState
from tests.command_line import contents
from tests.training.line import Line, after, settings


@pytest.fixture
def whole(bench):
    """The end of an uninterrupted run, and its history."""
    return bench.train("whole"), bench.rows()


def assert_same_end(bench, state, whole):
    expected, rows = whole
    for part in ("variables", "aux", "optimizers", "step"):
        a, b = getattr(state, part), getattr(expected, part)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_array_equal(x, y, err_msg=part)
    assert bench.rows() == rows


@pytest.mark.parametrize("calls", [4, 5])
def test_stopped_again_and_again(bench, whole, calls):
    """The wish to stop is asked for after each step and before each scanned batch, 3 a scan."""
    for _ in range(10):
        try:
            state = bench.train(stop=after(calls))
            break
        except Interrupted:
            continue
    assert_same_end(bench, state, whole)


class PowerCut(Exception):
    pass


def cut():
    raise PowerCut


@pytest.mark.parametrize("checkpoint_every", [1, 2, 500])
@pytest.mark.parametrize("calls", [1, 3, 8])
def test_power_cut(bench, whole, calls, checkpoint_every):
    """Nothing is saved at the end: the run goes on from the last checkpoint before it.

    Calls 1 and 3 are steps of the first phase; 8 is one after the refresh of the second.
    """
    config = settings(checkpoint_every=checkpoint_every)
    with pytest.raises(PowerCut):
        bench.train(config=config, stop=after(calls, cut))
    assert_same_end(bench, bench.train(config=config), whole)


def test_signals_ask_to_stop(bench, whole):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

    def with_signals(*signals):
        class Signalled(Line):
            def phases(self):
                first, *rest = super().phases()

                def ring(history):
                    for number in signals:
                        signal.raise_signal(number)
                    return False

                yield Phase(first.name, "train", 2, first.optimizer, first.loss, stop=ring)
                yield from rest

        return Signalled

    with pytest.raises(Interrupted, match="stopped at step 3"):
        bench.train(method=with_signals(signal.SIGTERM))
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    # The second of two is obeyed at once.
    with pytest.raises(KeyboardInterrupt):
        bench.train(method=with_signals(signal.SIGINT, signal.SIGINT))
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    assert_same_end(bench, bench.train(), whole)


# Damage.


def numbers(bench):
    folders = bench.run.checkpoints.iterdir()
    return sorted(int(path.name) for path in folders if path.name.isdigit())


def spoil(folder):
    """Cuts every file of a checkpoint's part to its first half."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("part", ["state", "progress", "iterator", "."])
def test_a_damaged_checkpoint_is_passed_over(bench, whole, capsys, part):
    config = settings(checkpoint_every=1)
    with pytest.raises(Interrupted):
        bench.train(config=config, stop=after(2))  # in the middle of the second epoch
    newest = numbers(bench)[-1]
    spoil(bench.run.checkpoints / str(newest) / part)
    state = bench.train(config=config)
    assert f"checkpoint {newest} in {bench.run.checkpoints} is damaged" in capsys.readouterr().out
    assert_same_end(bench, state, whole)


def test_all_checkpoints_damaged(bench):
    with pytest.raises(Interrupted):
        bench.train(stop=after(3))
    assert len(numbers(bench)) == 2
    for number in numbers(bench):
        spoil(bench.run.checkpoints / str(number))
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be read: remove the workdir"):
        bench.train()


def test_an_optimizer_that_came_later_is_fresh(tmp_path):
    """A run that began before it was there goes on; what it had is as it was."""
    made = Checkpoints(RunFolder(tmp_path), settings(), DatasetInfo({}))
    old = small(1.0)._replace(optimizers={"first": (optax.EmptyState(), {"mu": np.float32([5])})})
    made.save(old, Progress(phase=2))
    fresh = {
        "first": (optax.EmptyState(), {"mu": np.float32([0])}),
        "later": (optax.EmptyState(), {"mu": np.float32([0])}),
    }
    state, progress = made.restore(small(0.0)._replace(optimizers=fresh))
    made.close()
    assert progress.phase == 2 and (state.variables["w"] == 1).all()
    assert state.optimizers["first"][1]["mu"] == 5 and state.optimizers["later"][1]["mu"] == 0


# Checkpoints by themselves.


class Place:
    """Stands in for a loader's iterator."""

    def __init__(self, place):
        self.place = place

    def get_state(self):
        return {"next": self.place, "workers": list(range(40))}

    def set_state(self, state):
        self.place = state["next"]


def cut_off(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    """One bit in the middle, where arrays and numbers are."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def lose(file):
    file.unlink()


@pytest.mark.parametrize("damage", [cut_off, flip, lose])
@pytest.mark.parametrize("item", ["state", "progress", "origin", "iterator"])
def test_whatever_is_damaged_shows(checkpoints, tmp_path, capsys, item, damage):
    for number in (1, 2):
        progress = Progress(phase=number, mid_epoch=True, history=[{"loss": 0.25}])
        checkpoints.save(small(float(number)), progress, Place(10 * number))
    checkpoints.restore(small(0.0))
    newest = RunFolder(tmp_path).checkpoints / "2" / item
    damage(max((f for f in newest.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size))
    state, progress = checkpoints.restore(small(0.0))
    assert f"checkpoint 2 in {tmp_path}/checkpoints is damaged: " in capsys.readouterr().out
    assert (np.asarray(state.variables["w"]) == 1).all() and progress.phase == 1
    place = Place(0)
    checkpoints.restore_iterator(place)
    assert place.place == 10
    # The damaged one is not kept for one of the two newest.
    checkpoints.save(state, Progress(phase=3))
    checkpoints.close()
    kept = sorted(path.name for path in RunFolder(tmp_path).checkpoints.iterdir())
    assert kept == ["1", "3"]


def test_the_data_and_the_config_of_a_run_are_known_again(tmp_path):
    info = DatasetInfo({"train": 9}, ("a", "b"), name="x/y/1.0.0", fingerprint="f", extra={"d": 1})
    run, config = RunFolder(tmp_path), settings()
    made = Checkpoints(run, config, info)
    made.save(small(1.0), Progress())
    made.close()
    refuse_another(run, origin(config, replace(info, extra={"d": 2})))  # where they lie is free
    sounding = settings()
    sounding.inference.sounding = 0.5
    refuse_another(run, origin(sounding, info))
    begin = f"{tmp_path} holds a run"
    for changed, sentence in (
        (
            origin(config, replace(info, num_examples={"train": 8}, fingerprint="g")),
            f"{begin} on other data; name another workdir, or bring those back: data.fingerprint: "
            "'f' there, 'g' here; data.num_examples.train: 9 there, 8 here",
        ),
        (
            origin(config, replace(info, num_examples={"train": 9, "test": 1})),
            "data.num_examples.test: 'absent' there, 1 here",
        ),
        (origin(config, replace(info, class_names=("b", "a"))), "data.class_names: ['a', 'b'] the"),
        (
            origin(settings(seed=1), info),
            f"{begin} of another config; name another workdir, or undo: "
            "config.seed: 0 there, 1 here",
        ),
    ):
        with pytest.raises(ValueError) as error:
            refuse_another(run, changed)
        assert sentence in str(error.value)


def test_a_run_that_recorded_how_its_data_are_stored_goes_on(tmp_path):
    """As runs did before fingerprints were of what the items hold."""
    then = DatasetInfo({"train": 9}, ("a", "b"), name="x/y/1.0.0", fingerprint="bytes")
    run, config = RunFolder(tmp_path), settings()
    made = Checkpoints(run, config, then)
    made.save(small(1.0), Progress())
    made.close()
    now = replace(then, fingerprint="items", stored="bytes")
    refuse_another(run, origin(config, now))
    for other in (replace(now, stored="other"), replace(now, num_examples={"train": 8})):
        with pytest.raises(ValueError, match="holds a run on other data"):
            refuse_another(run, origin(config, other))


def test_other_data_are_refused_before_anything_is_written(bench):
    bench.train()
    before = contents(bench.run.path)
    bench.dataset.info = replace(bench.dataset.info, fingerprint="other")
    with pytest.raises(ValueError, match=r"other data; .*data.fingerprint: '' there, 'other' h"):
        bench.train()
    assert contents(bench.run.path) == before


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(RunFolder(tmp_path), settings(), DatasetInfo({}))
    yield made
    made.close()


def small(value: float) -> TrainState:
    return TrainState({"w": jax.numpy.full(100_000, value)}, {}, {"k": np.int32(1)}, np.int32(3))


def test_a_checkpoint_is_of_the_moment_it_was_asked_for(checkpoints):
    """The step reuses the memory of the state while it is still being written."""
    step = jax.jit(lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0)
    state = jax.device_put(small(0.0))
    for value in range(4):
        checkpoints.save(state, Progress(phase=value))
        state = step(state)
        restored, progress = checkpoints.restore(small(0.0))
        assert progress.phase == value
        assert (np.asarray(restored.variables["w"]) == value).all() and restored.step == 3 + value


def test_the_two_newest_are_kept(checkpoints, tmp_path):
    for value in range(4):
        checkpoints.save(small(value), Progress(phase=value))
    checkpoints.close()
    kept = RunFolder(tmp_path).checkpoints.iterdir()
    assert sorted(path.name for path in kept) == ["3", "4"]


def test_nothing_saved(checkpoints):
    assert checkpoints.restore(small(0.0)) is None


def test_progress_survives(checkpoints):
    progress = Progress(
        phase=3, epoch=1, refreshed=True, history=[{"loss": 0.1}], logs=[{"loss": 1 / 3}]
    )
    checkpoints.save(small(0.0), progress)
    _, restored = checkpoints.restore(small(0.0))
    assert restored == progress

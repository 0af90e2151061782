"""However a run was broken off, it ends as if it had not been."""

import signal

import jax
import numpy as np
import pytest

from avloc.training.checkpoints import Checkpoints, Progress
from avloc.training.loop import Interrupted
from avloc.training.run_folder import RunFolder
from avloc.types import Phase, TrainState
from tests.training.line import Line, after, settings

pytestmark = pytest.mark.usefixtures("compile_once")


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


# Checkpoints by themselves.


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(RunFolder(tmp_path))
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

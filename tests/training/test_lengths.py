"""How long phases last: passes, steps, checks on validation, and the same end after a stop."""

from types import SimpleNamespace

import numpy as np
import pytest

from avloc.machine.stopping import Interrupted
from avloc.training.methods.lengths import due, passes, stale, validation
from avloc.types import Phase
from tests.records import make_dataset, make_records
from tests.training.line import Line, after, settings
from tests.training.test_resume import PowerCut, assert_same_end, cut
from tests.training.tiny_csol import method

pytestmark = pytest.mark.usefixtures("in_haste")


def sized(**sizes):
    config = settings(batch_size=32)
    config.data.validation = "validation"
    config.stage_one.patience = 3
    return SimpleNamespace(config=config, info=SimpleNamespace(num_examples=sizes))


@pytest.mark.parametrize(
    ("items", "epochs", "steps", "expected"),
    [
        (640, 5, 0, 5),  # 20 steps a pass
        (640, 5, 100, 5),
        (640, 5, 101, 6),
        (640, 0, 400, 20),
        (60_000, 5, 400, 5),
        (63, 1, 400, 400),  # one step a pass, the tail is dropped
        (20, 3, 7, 7),  # fewer than a batch: refused elsewhere
        (640, 0, 0, 0),
    ],
)
def test_passes_are_at_least_so_many_and_so_many_steps(items, epochs, steps, expected):
    assert passes(sized(train=items), "train", epochs, steps) == expected


def history(*found, each=10):
    """Passes of so many steps; None where there was no check."""
    rows = [{"steps": each * n, "validation": x} for n, x in enumerate(found, 1)]
    return [{k: v for k, v in row.items() if v is not None} for row in rows]


@pytest.mark.parametrize(
    ("found", "patience", "least", "expected"),
    [
        ((), 2, 0, False),
        ((0.5,), 1, 0, False),  # nothing before it
        ((0.5, 0.5), 1, 0, True),
        ((0.5, 0.509), 1, 0, True),  # within what luck does
        ((0.5, 0.52), 1, 0, False),
        ((0.5, 0.4, 0.52), 2, 0, False),
        ((0.5, 0.4, 0.5), 2, 0, True),
        ((0.5, 0.4, 0.5), 3, 0, False),  # three checks, with none before them
        ((0.9, 0.4, 0.5, 0.6), 3, 0, True),
        ((0.5, 0.5, 0.5), 1, 31, False),  # 30 steps so far
        ((0.5, 0.5, 0.5), 1, 30, True),
        ((0.5, None, None, 0.5), 1, 0, True),
        ((0.5, None, None, None), 1, 0, False),  # one check alone
        ((None, None), 1, 0, False),
        ((0.5, 0.5, 0.5), 0, 0, False),  # without patience it takes all its passes
    ],
)
def test_a_phase_is_stale_where_checks_find_nothing_better(found, patience, least, expected):
    assert stale(history(*found), patience=patience, least=least) is expected


def test_checks_lie_apart():
    assert [due([], steps) for steps in (49, 50, 51)] == [False, True, True]
    checked = history(0.5, None, None, each=60)  # at 60; then 120 and 180 without
    assert [due(checked, steps) for steps in (109, 110)] == [False, True]


def test_validation_is_the_share_of_right_items():
    seen = []

    def scan(f, state, split):
        seen.append((f, split))
        return np.array([True, False, True, True]), np.array([True, True, True, False])

    share = validation(sized(train=9, validation=3), len)
    assert share("state", scan) == pytest.approx(2 / 3)
    assert seen == [(len, "validation")]


def test_without_a_split_or_patience_nothing_is_checked():
    assert validation(sized(train=9), len) is None
    assert validation(sized(train=9, validation=0), len) is None
    unnamed, hasty = sized(train=9, validation=3), sized(train=9, validation=3)
    unnamed.config.data.validation = ""
    hasty.config.stage_one.patience = 0
    assert validation(unnamed, len) is validation(hasty, len) is None


# In the loop.


class Checked(Line):
    """A phase of at most 10 passes of 25 steps, whose checks find what `FOUND` says."""

    FOUND = (0.2, 0.5, 0.505, 0.4, 0.9)

    def check(self, state, scan):
        assert len(scan(right, state, "train")) == 100
        return self.FOUND[int(state.step) // 50 - 1]

    def phases(self):
        yield Phase(
            "long",
            "train",
            10,
            "localization",
            self.loss,
            check=self.check,
            stop=lambda history: stale(history, patience=2, least=120),
        )
        yield Phase("next", "train", 1, "localization", self.loss)


@pytest.fixture
def longer(bench):
    """The bench with 25 steps a pass."""
    bench.dataset = make_dataset(train=make_records(100, size=8))
    return bench


def right(variables, aux, batch):
    return batch.mask


def test_a_phase_is_checked_every_fifty_steps_and_ends_where_it_is_stale(longer, capsys):
    longer.train(method=Checked)
    rows = longer.rows()
    found = {row["steps"]: row["validation"] for row in rows if "validation" in row}
    # At 200 steps the two last checks, 0.505 and 0.4, are no better than 0.5 by 0.01.
    assert found == {50: 0.2, 100: 0.5, 150: 0.505, 200: 0.4}
    assert [row["step"] for row in rows if row["phase"] == "long"] == list(range(25, 201, 25))
    assert rows[-1]["phase"] == "next" and rows[-1]["steps"] == 25
    said = [line for line in capsys.readouterr().out.splitlines() if "validation 0.505" in line]
    assert len(said) == 1 and "long 6/10" in said[0]


@pytest.mark.parametrize(("calls", "every"), [(60, 500), (90, 20)])
def test_a_resumed_run_stops_at_the_same_pass(longer, calls, every):
    config = settings(checkpoint_every=every)
    whole = longer.train("whole", method=Checked, config=config), longer.rows()
    stops = 0
    for _ in range(9):
        try:
            state = longer.train("pieces", method=Checked, config=config, stop=after(calls))
            break
        except Interrupted:
            stops += 1
    assert stops >= 2
    assert_same_end(longer, state, whole)


def test_a_power_cut_in_a_check_changes_nothing(longer):
    """Call 53 is in the check behind 50 steps."""
    whole = longer.train("whole", method=Checked), longer.rows()
    with pytest.raises(PowerCut):
        longer.train("pieces", method=Checked, stop=after(52, cut))
    assert_same_end(longer, longer.train("pieces", method=Checked), whole)


# Of the methods.


def plan(made):
    return [(p.name, p.epochs, p.check is not None) for p in made.phases()]


def test_lengths_of_the_phases_of_csol():
    fields = dict(
        batch_size=4,  # 3 steps a pass
        stage_one__warmup_epochs=2,
        stage_one__warmup_steps=10,
        stage_one__epochs=0,
        stage_two__epochs=0,
        hearing__epochs=1,
        hearing__steps=0,
    )
    assert plan(method(**fields)) == [
        ("warm-up", 4, False),
        ("clusters", 0, False),
        ("hearing", 1, False),
        ("dictionary", 0, False),
    ]
    fields |= {"hearing__steps": 7, "model__standardized": True}
    assert plan(method(**fields))[0] == ("standardization", 0, False)
    assert plan(method(**fields))[3] == ("hearing", 3, False)
    fields |= {"data__validation": "cocktail_train", "stage_one__patience": 2}
    made = method(**fields)
    assert [check for *_, check in plan(made)] == [False, True, False, True, False]
    warm = next(p for p in made.phases() if p.name == "warm-up")
    rows = [{"steps": 3 * n, "validation": 0.5} for n in range(1, 5)]
    assert [warm.stop(rows[:n]) for n in (1, 2, 3, 4)] == [False, False, False, True]


def test_retrieval_counts_images_of_the_own_video_and_never_padding():
    """By hand, with embeddings in place of the network: which image is nearest to each sound."""
    made = method(warmup__pooling="max")
    # Sounds 0 and 1 are nearest to image 1, of their video; sound 2 to image 0; 3 is padding, whose
    # image would be nearest to all.
    v = np.float32([[0.6, 0.8], [1, 0], [0, 1], [0.8, 0.6]])[:, None, None]
    a = np.float32([[1, 0], [0.9, 0.1], [0.55, 0.85], [1, 0]])
    v[3] = 10
    made._forward = lambda variables, batch: SimpleNamespace(v=v, a=a)
    batch = SimpleNamespace(video=np.int32([7, 7, 8, 9]), mask=np.array([True] * 3 + [False]))
    good, real = made._retrieval_step({}, {}, batch)
    assert np.asarray(good)[:3].tolist() == [True, True, False]
    np.testing.assert_array_equal(real, batch.mask)


def test_hearing_is_checked_by_the_cluster_that_is_seen():
    made = method(representation="weighted")
    # Two cells a picture, the map is on the first alone.
    f = np.zeros((3, 1, 2, 2), np.float32)
    f[:, 0, 0] = [[3, 1], [1, 2], [1, 3]]
    f[:, 0, 1] = 50
    localization = np.zeros((3, 1, 2), np.float32)
    localization[:, 0, 0] = 1
    out = SimpleNamespace(
        f=f,
        localization=lambda: localization,
        audio_logits=np.float32([[0, 1, 0], [0, 0, 2], [0, 0, 2]]),
    )
    made._forward = lambda variables, batch: out
    # About the mean (1, 1): directions right, up, left.
    aux = {
        "feature_mean": np.float32([1, 1]),
        "dictionary": np.float32([[0, 1.1], [2, 1], [1, 4]]),
    }
    good, _ = made._hearing_step({}, aux, SimpleNamespace(mask=np.ones(3, bool)))
    assert np.asarray(good).tolist() == [True, True, True]
    out.audio_logits = np.float32([[1, 0, 0], [0, 0, 2], [0, 3, 2]])
    good, _ = made._hearing_step({}, aux, SimpleNamespace(mask=np.ones(3, bool)))
    assert np.asarray(good).tolist() == [False, True, False]

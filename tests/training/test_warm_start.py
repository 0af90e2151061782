"""Training that starts after a stage of another run."""

import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.machine.stopping import Interrupted
from avloc.runs.checkpoints import save_stage
from avloc.training.methods import METHODS
from avloc.training.preflight import check
from avloc.training.resuming import Checkpoints
from avloc.training.warm_start import first_phase, require_same_data, warm_start
from avloc.types import Phase, TrainState
from tests.records import make_dataset, make_records
from tests.training.line import BATCH, SCENES, Line, after, settings
from tests.training.test_resume import PowerCut, cut, numbers, spoil


class WithHead(Line):
    """`Line` with a module and an entry of aux more, which stage two trains."""

    def init(self, key, batch):
        variables, aux = super().init(key, batch)
        extra = {"bias": jax.random.normal(key, (2,))}
        params = {**variables["params"], "extra": extra}
        return {**variables, "params": params}, {**aux, "prototypes": jnp.full(2, 7.0)}

    def loss(self, variables, aux, batch, key):
        loss, out = super().loss(variables, aux, batch, key)
        return loss + jnp.square(variables["params"]["extra"]["bias"]).sum(), out


@pytest.fixture
def other(bench):
    """Folder of a stage one of a run of another seed, and its variables and aux."""

    class Short(Line):
        def phases(self):
            yield from list(super().phases())[:-1]

    state = bench.train("other", method=Short, config=settings(seed=5))
    one = jax.tree.map(np.asarray, {"variables": state.variables, "aux": state.aux})
    return bench.run.stages / "stage_one", one


def flat(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


def assert_equal(a, b):
    a, b = flat(a), flat(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def start(folder, **fields):
    return settings(init_from=str(folder), **fields)


def test_only_what_is_behind_the_stage_is_trained(bench, other):
    folder, one = other
    seen = []

    class Curious(Line):
        def phases(self):
            yield from list(super().phases())[:-1]
            yield Phase("third", "scenes", 1, "matching", self.loss, self.look, checkpoint_name="b")

        def look(self, state, scan, key):
            seen.append(jax.tree.map(np.asarray, state))
            return state

    state = bench.train(method=Curious, config=start(folder))
    assert_equal({"variables": seen[0].variables, "aux": seen[0].aux}, one)
    assert seen[0].step == 0 and int(state.step) == SCENES // BATCH
    counts = {
        name: [int(x) for x in jax.tree.leaves(optimizer) if x.dtype == np.int32]
        for name, optimizer in seen[0].optimizers.items()
    }
    assert all(values and not any(values) for values in counts.values())
    rows = [(row["phase"], row["step"]) for row in bench.rows() if row["phase"] != "clusters"]
    assert rows == [("third", SCENES // BATCH)]
    assert [path.name for path in bench.run.stages.iterdir()] == ["b"]
    # Trained on: the trunk has moved, what is no gradient's has not.
    assert_equal(state.aux, one["aux"])
    moved = state.variables["params"]["trunk"]["w"] != one["variables"]["params"]["trunk"]["w"]
    assert np.asarray(moved).all()


@pytest.mark.parametrize(
    ("stop", "error", "saved"),
    [(after(1), Interrupted, 2), (after(0, cut), PowerCut, 1)],
    ids=["signal", "power cut"],
)
def test_resumed_without_the_other_run(bench, other, stop, error, saved):
    folder, _ = other
    config = start(folder)
    whole = bench.train("whole", config=config)
    rows = bench.rows()
    with pytest.raises(error):
        bench.train(config=config, stop=stop)
    assert numbers(bench)[-1] == saved and Checkpoints.present(bench.run)
    shutil.rmtree(folder)
    state = bench.train(config=config)
    assert_equal(state.variables, whole.variables)
    assert_equal(state.optimizers, whole.optimizers)
    assert state.step == whole.step and bench.rows() == rows


def test_a_module_that_the_stage_has_not_stays_fresh(bench, other, capsys):
    folder, one = other
    config = start(folder)
    method = WithHead(config, bench.dataset.info)
    variables, aux = method.init(jax.random.key(3), None)
    made = warm_start(config, variables, aux)
    assert made.fresh == ("aux prototypes", "module extra")
    np.testing.assert_array_equal(
        made.variables["params"]["extra"]["bias"], variables["params"]["extra"]["bias"]
    )
    assert made.aux["prototypes"].tolist() == [7, 7]
    rest = {"variables": made.variables, "aux": dict(made.aux)}
    del rest["variables"]["params"]["extra"], rest["aux"]["prototypes"]
    assert_equal(rest, one)
    bench.train(method=WithHead, config=config)
    said = capsys.readouterr().out
    assert f"starting after {folder}; fresh, as it has none: aux prototypes, module extra" in said


def changed(folder, one, name, x):
    """A stage like that of `one`, in which the array of this name is x, or absent."""
    tree = jax.tree.map(np.asarray, one)
    *parents, leaf = name.split("/")
    node = tree
    for parent in parents:
        node = node[parent]
    if x is None:
        del node[leaf]
    else:
        node[leaf] = x
    run = type("Run", (), {"stages": folder})
    save_stage(run, "stage_one", TrainState(tree["variables"], {}, tree["aux"], 0))
    return folder / "stage_one"


@pytest.mark.parametrize(
    ("name", "x", "sentence"),
    [
        (
            "variables/params/head/w",
            np.zeros(4, np.float32),
            "variables/params/head/w is float32[4] in {}, but float32[3] here: ",
        ),
        ("aux/labels", np.zeros(9, np.int32), "aux/labels is int32[9] in {}, but int32[10] here: "),
        (
            "aux/more",
            np.zeros((2, 3), np.float32),
            "aux/more is float32[2, 3] in {}, but absent here: ",
        ),
        (
            "variables/params/trunk/b",
            np.zeros((), np.float32),
            "variables/params/trunk/b is float32[] in {}, but absent here: ",
        ),
        ("aux/target", np.float32(np.nan), "aux/target in {} holds NaN or infinity: "),
    ],
)
def test_what_differs_is_refused(bench, other, tmp_path, name, x, sentence):
    _, one = other
    folder = changed(tmp_path / "stages", one, name, x)
    config = start(folder)
    fresh = Line(config, bench.dataset.info).init(jax.random.key(0), None)
    with pytest.raises(ValueError) as error:
        warm_start(config, *fresh)
    assert str(error.value).startswith("config.init_from: " + sentence.format(folder))
    # Shapes do as well as arrays.
    with pytest.raises(ValueError, match=r"config.init_from: "):
        warm_start(config, *jax.eval_shape(lambda: fresh))


def test_a_part_of_a_module_may_not_lack(bench, other, tmp_path):
    """Half a module is another network, not a missing one."""
    _, one = other
    one["variables"]["params"]["extra"] = {"scale": np.zeros(2, np.float32)}
    folder = changed(tmp_path / "stages", one, "variables/params/extra/scale", np.float32([1, 2]))
    config = start(folder)
    fresh = WithHead(config, bench.dataset.info).init(jax.random.key(0), None)
    with pytest.raises(ValueError, match=r"params/extra/bias is absent in .* but float32\[2\] her"):
        warm_start(config, *fresh)


def test_a_damaged_stage(bench, other):
    folder, _ = other
    spoil(folder)
    config = start(folder)
    fresh = Line(config, bench.dataset.info).init(jax.random.key(0), None)
    with pytest.raises(ValueError, match=rf"checkpoint {folder} is damaged"):
        warm_start(config, *fresh)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match=rf"there is no {folder}: give RUN/stages/NAME"):
        warm_start(config, *fresh)


def test_where_to_start(bench, tmp_path):
    phases = list(Line(settings(), bench.dataset.info).phases())
    assert first_phase(settings(), phases) == 0
    assert first_phase(start("runs/a/stages/stage_one"), phases) == 3
    with pytest.raises(ValueError, match=r"ends with no stage of line: .* stage_one, stage_two$"):
        first_phase(start(tmp_path), phases)
    with pytest.raises(ValueError, match="is the last stage of this config: nothing is left"):
        first_phase(start("runs/a/stages/stage_two"), phases)


def test_a_stage_of_other_data_is_refused_though_all_shapes_are_the_same(bench):
    info = bench.dataset.info
    bench.dataset.info = replace(info, name="a/b/1.0.0", fingerprint="then", stored="bytes")
    bench.train("other")
    stage = bench.run.stages / "stage_one"
    bench.dataset.info = replace(info, name="c/d/1.0.0", fingerprint="now")
    said = r"other was trained on other data \(a/b/1.0.0, fingerprint then; here: c/d/1.0.0, fin"
    with pytest.raises(ValueError, match=said):
        bench.train("new", config=start(stage))
    with pytest.raises(ValueError, match=said):
        check(start(stage, clusters=3), bench.dataset)
    # The same again: as it is, and as an earlier avloc knew it.
    for fingerprint, stored in (("then", "built again"), ("later", "then")):
        bench.dataset.info = replace(info, fingerprint=fingerprint, stored=stored)
        require_same_data(start(stage), bench.dataset.info)
    other = start(stage)
    other.data.noise = 0.25
    with pytest.raises(ValueError, match=r"other clips \(config.data.noise is 0.0 there, 0.25 her"):
        require_same_data(other, bench.dataset.info)
    other = start(stage)
    other.data.stage_one = "scenes"
    with pytest.raises(ValueError, match=r"config.data.stage_one is 'train' there, 'scenes' here"):
        require_same_data(other, bench.dataset.info)


def test_a_misspelt_start(bench):
    phases = list(Line(settings(), bench.dataset.info).phases())
    with pytest.raises(ValueError, match=r"; did you mean 'pretrained'\?$"):
        first_phase(start("pretraind"), phases)
    with pytest.raises(ValueError, match=r"; did you mean 'stage_one'\?$"):
        first_phase(start("runs/a/stages/stage_on"), phases)


def test_what_nothing_is_learnt_from_is_refused(bench, monkeypatch):
    monkeypatch.setitem(METHODS, "line", Line)
    one = make_dataset(train=make_records(10, videos=1), scenes=make_records(8, videos=2))
    with pytest.raises(ValueError, match="split train of records has clips of one video only, vid"):
        check(settings(), one)
    config = settings()
    config.data.validation = "scens"
    with pytest.raises(ValueError, match=r"to one of train, scenes, or to nothing; did you mean '"):
        check(config, bench.dataset)


def test_weights_that_are_not_there_are_named_with_both_ways_out(bench):
    phases = list(Line(settings(), bench.dataset.info).phases())
    with pytest.raises(
        ValueError, match=r"there is no weights/resnet18: make it .*--out weights/r"
    ):
        first_phase(start("weights/resnet18"), phases)
    assert first_phase(start("weights/resnet18"), phases, resumed=True) == 0


def test_stage_two_goes_on_with_another_split(bench, tmp_path):
    config = settings()
    phases = list(Line(config, bench.dataset.info).phases())
    (tmp_path / "stages" / "stage_two").mkdir(parents=True)
    (tmp_path / "config.json").write_text(config.to_json_best_effort())
    again = start(tmp_path / "stages" / "stage_two")
    with pytest.raises(ValueError, match="nothing is left to train"):
        first_phase(again, phases)
    with again.unlocked():
        again.data.stage_two = "duet_train"
    assert first_phase(again, phases) == len(phases) - 1
    shutil.rmtree(tmp_path / "stages")
    assert first_phase(again, phases, resumed=True) == len(phases) - 1

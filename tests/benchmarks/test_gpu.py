"""Operations are counted as XLA counts them, and the GPU's table is made, here on a CPU."""

import json
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import pytest

from avloc.configs import csol, dsol_music
from avloc.models import ResNet
from benchmarks import flops, gpu
from benchmarks.gpu import COMPILED, EAGER, OURS, Measured
from benchmarks.step_task import SECOND, Task
from benchmarks.steps import narrow


def test_a_convolution_by_hand():
    # 3x3 with stride 1 on 2x2 cells: each output sees all four; 3 and 5 channels.
    assert flops.convolution((2, 2), 3, 1, 3, 5) == 2 * 4 * 4 * 3 * 5
    # 1x1 with stride 2 on 5x4 cells gives 3x2.
    assert flops.convolution((5, 4), 1, 2, 1, 1) == 2 * 6
    # 3x3 with stride 2: rows 0, 2, 4 of 5 see 2, 3 and 2 rows.
    assert flops.convolution((5, 1), 3, 2, 1, 1) == 2 * 7


@pytest.mark.parametrize("side, channels", [((224, 224), 3), ((201, 64), 1)])
def test_resnet18_has_the_operations_that_xla_counts(side, channels):
    net, images = ResNet(), jax.ShapeDtypeStruct((1, *side, channels), jnp.float32)
    variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, False), images)
    found = flops.counted(jax.jit(lambda v, x: net.apply(v, x, False)), variables, images)
    by_hand, _ = flops.backbone(side, channels, csol.base(), True)
    # XLA counts additions of BatchNorm and shortcuts too.
    assert by_hand < found < 1.005 * by_hand


def test_a_step_takes_three_times_the_convolutions():
    config = dsol_music.get_config()
    narrow(config)
    with config.unlocked():
        config.model.width = 32
    by_hand = flops.step_by_hand(config, SECOND)
    # Convolutions are the less of it, the narrower the network: of the full one 98 %.
    found = gpu.operations(Task.of(config, "localization", 2)) / 2
    assert by_hand < found < 1.3 * by_hand


def test_mfu_by_hand():
    # 98.9e12 operations in 0.2 s are half of a peak of 989e12.
    assert flops.mfu(98.9e12, 0.2, "NVIDIA H200", "bf16") == pytest.approx(0.5)
    assert flops.mfu(1e12, 1.0, "NVIDIA H200", "int4") is None
    assert flops.mfu(1e12, 1.0, "an abacus", "bf16") is None


FOUND = [
    Measured(OURS, "bf16", 32, seconds=0.01, operations=98.9e11 / 4),
    Measured(OURS, "float32", 32, seconds=0.05, operations=98.9e11 / 4),
    Measured(EAGER, "float32", 32, seconds=0.2),
    Measured(COMPILED, "float32", 32, note="out of memory"),
]


def test_the_table_sets_all_beside_pytorch_eager():
    rows = gpu.table(FOUND, "NVIDIA H200").rows
    assert rows[0] == ["32", "bf16", OURS, "10 ms", "3,200", "25.0 %", "20.00"]
    assert rows[1][-1] == "4.00" and rows[2][-1] == "1.00"
    assert rows[3][2:] == [COMPILED, "out of memory", "-", "-", "-"]


def test_no_mfu_is_made_up_for_a_device_that_is_not_known():
    made = gpu.table(FOUND, "an abacus")
    assert all("%" not in row[5] for row in made.rows)
    assert "its peak is not known" in made.note


def test_it_runs_where_there_is_no_gpu(tmp_path, capsys):
    out, traces = tmp_path / "steps.json", tmp_path / "traces"
    words = ["--quick", "--batch", "2", "--precision", "bf16", "--json", str(out)]
    assert gpu.main([*words, "--profile", str(traces)]) == 0
    beside, ours = json.loads(out.read_text())["steps"]
    assert ours["what"] == OURS and ours["seconds"] > 0 and 0 < ours["loss"] < 5
    assert beside["what"] == EAGER
    if find_spec("torch"):
        assert beside["loss"] == pytest.approx(ours["loss"], rel=0.02)
    else:
        assert beside["note"] == "torch is not installed"
    assert list((traces / "bf16_2").rglob("*.xplane.pb"))
    assert "not known" in capsys.readouterr().out

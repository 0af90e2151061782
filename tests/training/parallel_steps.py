"""Some steps of every loss of CSOL, IEr and C2F on all devices of this process, saved to a file.

`python -m tests.training.parallel_steps OUT.npz jit pmap`
"""

from __future__ import annotations

import functools
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax

from avloc.clustering.kmeans import kmeans
from avloc.configs import c2f, csol, ier
from avloc.machine.devices import Devices, over_devices, to_host
from avloc.training.methods import create, initialize
from avloc.training.methods.csol import Csol
from avloc.training.scan import scan_split
from avloc.training.step import make_step
from avloc.types import Batch, DatasetInfo, TrainState
from tests.records import make_records

BATCH, STEPS, ITEMS = 8, 20, 18
INFO = DatasetInfo({"train": ITEMS, "cocktail_train": ITEMS})
# Plain descent: Adam's division hides a gradient of the wrong size, and blows up rounding. A change
# of the weights' last bit, on one device, grows beyond 1e-5 in 20 steps where it turns a ReLU: at
# ten times this rate in 4 of 14 trials, at this rate in 1 of 28 (JAX 0.12).
OPTIMIZER = optax.sgd(1e-4, momentum=0.9)


def settings(negatives: str, method: str = "csol"):
    """The paper's losses, and a warm-up by InfoNCE, on a net of one block."""
    config = {"c2f": c2f, "csol": csol, "ier": ier}[method].base()
    config.data.stage_two = "cocktail_train"
    config.data.name = "records"
    config.image_size = 32
    config.clusters = 3
    config.negatives = negatives
    config.model.update(dict(width=4, blocks=(0, 0, 0, 1), stem_pool=False, embedding=32))
    config.model.correspondence_bias = True
    config.warmup.update(dict(bce=0.5, info_nce=1.0, pooling="log_mean_exp"))
    config.stage_one.warmup_epochs = 1
    if negatives == "in_batch" and method == "csol":
        config.stage_one.update(dict(mixtures=0.5, mixtures_after=0))
    if method == "c2f":
        config.model.projection = (16, 8)
        # No class drops in or out by a last bit.
        config.stage_two.update(dict(form="means", margin=2.0, valid_threshold=0.0))
    if method == "ier":
        config.identifier.middle = 8
        config.identification.update(dict(sources=(2, 3), gain_db=6.0, localization_weight=1.0))
    return config


def batches(negatives: bool) -> list[Batch]:
    """Random items of 6 videos; the last item of the last batch is padding."""
    rng = np.random.default_rng(0)
    made = []
    for step in range(STEPS):
        batch = Batch.of(
            rng.integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8),
            (rng.normal(size=(BATCH, 16000)) * 3000).astype(np.int16),
        )
        made.append(
            batch._replace(
                index=rng.integers(0, ITEMS, BATCH).astype(np.int32),
                video=rng.integers(0, 6, BATCH).astype(np.int32),
                mask=np.arange(BATCH) < BATCH - (step == STEPS - 1),
                negative=rng.integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8)
                if negatives
                else None,
            )
        )
    return made


@functools.cache
def initial(name: str = "csol") -> TrainState:
    """The same weights for all, and an object dictionary that tells the clusters apart."""
    method = create(settings("in_batch", name), INFO)
    variables, aux = initialize(method, jax.random.key(0), batches(False)[0])
    rng = np.random.default_rng(1)
    aux = dict(aux) | {
        "labels": rng.integers(0, 3, ITEMS).astype(np.int32),
        "dictionary": np.float32(rng.uniform(0, 1, aux["dictionary"].shape)),
        "feature_mean": np.float32(rng.uniform(0, 0.5, aux["feature_mean"].shape)),
    }
    if name == "ier":
        aux["audio_prototypes"] = np.float32(rng.uniform(0, 1, aux["audio_prototypes"].shape))
        aux["progress"] = np.float32(0.5)
    if name == "c2f":
        aux["targets"] = np.float32(rng.uniform(0, 1, aux["targets"].shape))
    states = {phase.optimizer: OPTIMIZER.init(variables["params"]) for phase in method.phases()}
    return TrainState(variables, states, aux, jnp.int32(0))


def flat(prefix: str, tree) -> dict[str, np.ndarray]:
    return {
        prefix + jax.tree_util.keystr(path): np.asarray(x)
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }


def run(parallel: str) -> dict[str, np.ndarray]:
    """Scalars of every step and variables after the last, by phase and kind of negatives."""
    devices, results = Devices(parallel), {}
    kinds = (("csol", "in_batch"), ("csol", "drawn"), ("ier", "drawn"), ("c2f", "drawn"))
    for of, negatives in kinds:
        method = create(settings(negatives, of), INFO, devices.axis_name)
        for phase in {phase.name: phase for phase in method.phases() if phase.epochs}.values():
            name = f"{phase.name}, {negatives}: "
            if negatives == "drawn" and phase.name not in (
                "matching",
                "identification",
                "referral",
                "alignment",
            ):
                continue  # these hold the others' part with negatives
            step = devices.compile_step(make_step(phase, OPTIMIZER, devices.axis_name))
            state = devices.replicate(phase.prepared(initial(of)))
            for number, batch in enumerate(batches(negatives == "drawn")):
                state, log = step(state, batch, jax.random.key(2))
                results |= flat(f"{name}step {number} ", log)
            results |= flat(name, to_host(state.variables))
    return results


def scan() -> dict[str, np.ndarray]:
    """Predictions for a split that does not divide into batches, and for a batch known whole."""
    devices = Devices()
    config = settings("in_batch")
    config.batch_size = BATCH
    method = Csol(config, INFO)
    state = devices.replicate(initial())
    records = {"train": make_records(ITEMS, videos=ITEMS)}
    dataset = SimpleNamespace(source=records.__getitem__, info=INFO)

    def predict(variables, aux, batch):
        return batch.index, method.predict(variables, aux, batch)

    index, prediction = scan_split(predict, state, dataset, "train", config, devices)
    whole = devices.place(devices.whole(batches(False)[0]))
    again = devices.scan_fn(method.predict)(state.variables, state.aux, whole)
    return {"index": index} | flat("", prediction._asdict()) | flat("whole ", again._asdict())


def cluster() -> dict[str, np.ndarray]:
    """Clusters of rows that do not divide over the devices."""
    rows = np.random.default_rng(3).normal(size=(50, 7)).astype(np.float32)
    spread, mask = over_devices(rows)
    found = kmeans(spread, 6, jax.random.key(4), restarts=3, mask=mask, chunk=16)
    found = to_host(found)
    return {"labels": found.labels[:50], "inertia": found.inertia, "centroids": found.centroids}


if __name__ == "__main__":
    out, *modes = sys.argv[1:]
    results = {f"{mode}|{k}": v for mode in modes for k, v in run(mode).items()}
    results |= {f"scan|{k}": v for k, v in scan().items()}
    results |= {f"cluster|{k}": v for k, v in cluster().items()}
    np.savez(out, devices=jax.device_count(), **results)

"""One process of several that train and score together; its end goes to a file.

`python -m tests.machine.hosts_run WORKDIR PARALLEL PORT PROCESSES PROCESS [SIGNAL PHASE]`: where
the last two are given, the process sends itself the signal after the first epoch of that phase.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

from avloc.machine import hosts

STOPPED = 3


def main(
    workdir: str,
    parallel: str,
    port: str,
    processes: str,
    process: str,
    name: str = "",
    phase: str = "",
) -> int:
    by_hand = (f"localhost:{port}", int(processes), int(process)) if processes != "1" else ()
    with hosts.joined(None, *by_hand):
        return train_and_score(Path(workdir), parallel, process, name, phase)


def train_and_score(folder: Path, parallel: str, process: str, name: str, phase: str) -> int:
    # Only here, as processes meet before JAX is used.
    import jax
    import numpy as np

    from avloc.machine.devices import to_host
    from avloc.machine.stopping import Interrupted
    from avloc.runs.folder import RunFolder
    from avloc.scoring.run import Scorer
    from avloc.training.loop import train
    from avloc.training.methods import METHODS
    from avloc.types import Prediction
    from tests.records import make_dataset, make_records
    from tests.training.line import Line, settings

    class Scored(Line):
        def phases(self):
            for made in super().phases():
                yield replace(made, stop=ring) if made.name == phase else made

        def predict(self, variables, aux, batch):
            params, mean = variables["params"], variables["batch_stats"]["mean"]
            cells = batch.image[:, ::4, ::4] / 255 - mean
            maps = jax.nn.sigmoid(5 * cells * (params["trunk"]["w"] + params["head"]["w"]))
            scores = maps.mean((1, 2))
            return Prediction(maps, scores, scores, maps.max(-1), scores.argmax(-1))

    def ring(history):
        signal.raise_signal(signal.Signals[name])
        return False

    METHODS["line"] = Scored
    config = settings(parallel=parallel, negatives="drawn", checkpoint_every=3)
    config.data.update(dict(single_test="train", scene_tests=("scenes",)))
    dataset = make_dataset(train=make_records(34), scenes=make_records(14, videos=2))
    run = RunFolder(folder)
    with hosts.together():
        if hosts.first():
            run.open_for_training(config)
    try:
        state = to_host(train(config, run, dataset))
    except Interrupted as stop:
        print(f"{type(stop).__name__}: {stop}", file=sys.stderr)
        return STOPPED
    finally:
        run.release()  # as the command line does; the tests' own process trains again
    scores = Scorer(run, dataset).score()
    leaves = {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(state)}
    (folder / f"said_{process}").write_text(scores.text())
    np.savez(folder / f"end_{process}.npz", devices=jax.device_count(), **leaves)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

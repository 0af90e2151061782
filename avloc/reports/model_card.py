"""The description of an exported model, for programs (`model.json`) and readers (`README.md`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.export import Exported

import avloc
from avloc.data_pipelines.records.features import SAMPLE_RATE
from avloc.json_files import read_json
from avloc.runs.checkpoints import finished_stages
from avloc.runs.folder import RunFolder
from avloc.runs.recorded import restorable
from avloc.scoring.scores import network_row, stored_scores
from avloc.training.loading import LoadedRun
from avloc.training.methods import method_title

FORMAT = "avloc export"


def describe(
    run: RunFolder, stage: str, loaded: LoadedRun, digest: str, function: Exported
) -> dict[str, Any]:
    """The content of `model.json`, without the files.

    Args:
      run: the one that is exported.
      stage: of the run.
      loaded: what was read of it.
      digest: `Model.digest`.
      function: as it is exported.
    """
    config, info = loaded.config, loaded.info
    last = finished_stages(run, loaded.method)[-1]
    scores = run.path / "metrics.json"
    image, waveform = map(_array, function.in_avals)
    maps, activity = map(_array, function.out_avals)
    return {
        "format": FORMAT,
        "format_version": 1,
        "avloc": avloc.__version__,
        "method": config.method,
        "stage": stage,
        "row": network_row(config.method, stage, alone=stage != last),
        "digest": digest,
        "classes": list(loaded.categories.names),
        "class_of_cluster": list(loaded.categories.of_cluster),
        "named": run.categories.is_file(),
        "sounding_from": config.inference.sounding,
        "inputs": {
            "image": {**image, "range": [0, 255], "layout": "batch, row, column, RGB"},
            "waveform": {**waveform, "range": [-32768, 32767], "sample_rate": SAMPLE_RATE},
        },
        "outputs": {
            "maps": {**maps, "range": [0, 1], "layout": "batch, row, column, class"},
            "scores": {**activity, "range": [0, 1], "layout": "batch, class"},
        },
        "function": {
            "platforms": list(function.platforms),
            "jax": jax.__version__,
            "calling_convention_version": function.calling_convention_version,
        },
        "data": {
            "name": config.data.name,
            "fingerprint": info.fingerprint or None,
            "items": dict(info.num_examples),
        },
        "config": config.to_dict(),
        "metrics": _metrics(scores) if scores.is_file() else None,
    }


def _metrics(file: Path) -> dict[str, Any]:
    with restorable(file, "run `avloc evaluate` again"):
        return read_json(file, dict)


def card(run: RunFolder, about: Mapping[str, Any]) -> str:
    """The content of `README.md`.

    Args:
      run: that the model is of; its tables are shown.
      about: `describe`, with `files`: what else is in the folder.
    """
    title = f"{method_title(about['method'])} on {about['data']['name']}"
    parts = [
        f"# {title}",
        "A network that finds which objects in a picture make the sound, and what they are. It "
        "learned this from pictures and their sounds alone: training used no labels and no "
        f"boxes. Made with avloc {about['avloc']}; this is the model of the row "
        f'"{about["row"]}" below.',
        "## Contents of this folder",
        _table(["file", "what", "bytes"], _files(about)),
        "## The function",
        _FUNCTION,
        _table(["", "name", "type and shape", "what"], _arrays(about)),
        _READING.format(
            sounding_from=about["sounding_from"],
            jax=about["function"]["jax"],
            on=", ".join(about["function"]["platforms"]),
            precision=about["config"]["precision"],
        ),
        "## The parameters",
        _PARAMETERS,
        "## Classes",
        _naming(about),
        "\n".join(f"{n}. {name}" for n, name in enumerate(about["classes"], 1)),
        "## Scores",
        _scores(run, about),
        "## Training data",
        _data(about),
        "## Limits",
        _LIMITS,
        "## Configuration",
        f"```json\n{json.dumps(about['config'], indent=2)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


_WHAT = {
    "load_example.py": "a program that loads the function and calls it",
    "localize.jax_export": "the function with its parameters, as StableHLO in JAX's own wrapping",
    "orbax": "all parameters, as an Orbax checkpoint",
    "parameters.safetensors": "the same parameters by name, as safetensors",
}

_FUNCTION = """\
It needs JAX, NumPy and flatbuffers (`pip install jax flatbuffers`), not avloc:

```python
from pathlib import Path

import jax
import jax.export

function = jax.export.deserialize(Path("localize.jax_export").read_bytes())
maps, scores = jax.jit(function.call)(image, waveform)
```"""

_READING = """\
B is any number of items. Resize a whole picture, whatever its shape, to that square; the maps \
cover all of it. Pass the second of sound around the moment of the picture, as one channel. If \
no sample of the second reaches -60 dB of full scale, maps and scores are 0. A class counts as \
sounding from a score of {sounding_from}.

JAX {jax} exported it for {on}. JAX guarantees that releases up to 6 months newer and 3 weeks \
older can run it; after that, export again, or load the parameters. Convolutions compute in \
{precision}; float32 products have the default precision of the device, so digits differ between \
kinds of devices. It cannot be differentiated."""

_PARAMETERS = """\
With Orbax alone:

```python
from pathlib import Path

import orbax.checkpoint as ocp

tree = ocp.StandardCheckpointer().restore(Path("orbax").absolute())
print(tree.keys(), tree["params"].keys())
```

`params` and `batch_stats` are Flax collections. `aux` holds what was learned without gradients: \
dictionary or prototypes, a frozen teacher if the method has one, and `labels`, the pseudo \
label of each training item. In the safetensors file a name is the path, as in \
`params/visual/conv_stem/kernel`."""

_LIMITS = """\
- Classes were found by clustering: a cluster may contain several kinds of things, and one kind \
may have several clusters. Names were assigned afterwards and are for display.
- Kinds of things that are not in the training data still get one of these names.
- It sees single pictures and hears one second; it does not use motion.
- The scores hold for the data set and the protocol named. On other data they may be lower.
- Data sets and their videos have their own licences; this folder says nothing about them."""


def _files(about: Mapping[str, Any]) -> list[list[str]]:
    return [[f"`{name}`", _WHAT[name], str(file["bytes"])] for name, file in about["files"].items()]


def _arrays(about: Mapping[str, Any]) -> list[list[str]]:
    what = {
        "image": "RGB, 0 to 255",
        "waveform": f"mono, {SAMPLE_RATE} Hz, one second",
        "maps": "activation of each class at each cell, 0 to 1",
        "scores": "how probable it is that each class sounds in the picture, 0 to 1",
    }
    return [
        [f"{side[:-1]} {n}", f"`{name}`", f"`{array['dtype']}[{_shape(array)}]`", what[name]]
        for side in ("inputs", "outputs")
        for n, (name, array) in enumerate(about[side].items(), 1)
    ]


def _naming(about: Mapping[str, Any]) -> str:
    if not about["named"]:
        return "The data had no class names, or they were not matched: clusters are numbered."
    return (
        "In the order of the last axis. Training did not use them: each cluster was named "
        "afterwards, from what the run's last stage found in labelled training clips; clusters "
        "with the same name have their maps added up, and the score of the surest one."
    )


def _scores(run: RunFolder, about: Mapping[str, Any]) -> str:
    scores = stored_scores(run)
    if scores is None and about["metrics"]:
        return "It was scored under a protocol that has changed; `model.json` has the figures."
    if scores is None:
        return "Not recorded: the run was not scored."
    rows = {row for split in scores.splits.values() for row in split}
    parts = [
        f"### {table.title}\n\n{table.markdown()}"
        for table in [*scores.tables(), *scores.negative_tables()]
    ]
    if about["row"] not in rows:
        parts.insert(0, "The exported stage itself was not scored; other stages of its run were.")
    if about["config"]["evaluation"]["keep_aspect"]:
        parts.append(
            "Pictures that are not square were scored in their own aspect ratio; "
            "the exported function takes squares."
        )
    return "\n\n".join([*parts, *scores.remarks()])


def _data(about: Mapping[str, Any]) -> str:
    data = about["data"]
    sizes = ", ".join(f"{split} {count}" for split, count in data["items"].items())
    return _table(
        ["", ""],
        [
            ["data set", f"`{data['name']}`"],
            ["items of its splits", sizes],
            ["fingerprint", f"`{data['fingerprint']}`" if data["fingerprint"] else "not recorded"],
        ],
    )


def _array(aval: jax.core.ShapedArray) -> dict[str, Any]:
    shape = [side if isinstance(side, int) else "B" for side in aval.shape]
    return {"dtype": aval.dtype.name, "shape": shape}


def _shape(array: Mapping[str, Any]) -> str:
    return ", ".join(map(str, array["shape"]))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""Loads and calls the model of this folder; needs only JAX and NumPy.

python load_example.py, or python load_example.py INPUT.npz OUTPUT.npz
"""

import json
import sys
from pathlib import Path

import jax
import jax.export
import numpy as np

here = Path(__file__).parent
about = json.loads((here / "model.json").read_text())
localize = jax.jit(jax.export.deserialize((here / "localize.jax_export").read_bytes()).call)

if len(sys.argv) == 3:  # INPUT has `image` and `waveform`, in the shapes that model.json states
    with np.load(sys.argv[1], allow_pickle=False) as given:
        maps, scores = localize(given["image"], given["waveform"])
    np.savez(sys.argv[2], maps=maps, scores=scores)
else:  # noise, to check that it runs
    inputs, rng = about["inputs"], np.random.default_rng(0)
    image = rng.integers(0, 256, (1, *inputs["image"]["shape"][1:]), np.uint8)
    waveform = rng.integers(-9000, 9000, (1, *inputs["waveform"]["shape"][1:]), np.int16)
    maps, scores = localize(image, waveform)

for name, score in zip(about["classes"], np.asarray(scores[0]), strict=True):
    print(f"{score:.3f} {name}")

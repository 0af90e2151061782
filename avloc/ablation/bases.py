"""Configs that an ablation is run on in place of those that it declares (`avloc ablate --base`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from avloc.naming import did_you_mean
from avloc.runs.experiment import load_config


class Bases:
    """One config file for each method; none: runs keep those that are declared.

    Args:
      files: paths, or names of shipped configs. The first one's data and number of clusters are
        those of all, so that runs of one method can start from runs of another.

    Raises:
      ValueError: two are of one method, or there is no such file.
    """

    def __init__(self, files: Sequence[str]):
        self._files: dict[str, str] = {}
        self._shared: dict[str, dict[str, Any]] = {}
        first: ConfigDict | None = None
        for file in files:
            config = load_config(file)
            if other := self._files.get(config.method):
                raise ValueError(
                    f"--base names {other} and {file}, both of method {config.method}: leave one "
                    "out"
                )
            first = first or config
            self._files[config.method] = file
            self._shared[config.method] = _from_first(first, config)

    def of(self, declared: str, name: str) -> tuple[str, dict[str, Any]]:
        """The config file of a run, and the fields that it gets of the first one.

        Args:
          declared: its config file in the declaration.
          name: of the run, for the sentence.

        Raises:
          ValueError: it is of a method without a base.
        """
        if not self._files:
            return declared, {}
        method = load_config(declared).method
        if method not in self._files:
            raise ValueError(
                f"{name} is of method {method}, and --base names a config of "
                f"{', '.join(self._files)} alone: name one of {method} too"
                + did_you_mean(method, self._files)
            )
        return self._files[method], self._shared[method]


def _from_first(first: ConfigDict, config: ConfigDict) -> dict[str, Any]:
    """Fields of data and clusters in which a config is to follow the first."""
    found = {
        f"data.{field}": value
        for field, value in first.data.items()
        if config.data.get(field) != value
    }
    return found | ({} if config.clusters == first.clusters else {"clusters": first.clusters})

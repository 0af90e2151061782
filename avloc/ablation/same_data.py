"""The runs of a table must be of the same data: else rows differ by more than they say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from avloc.ablation.grid import Run
from avloc.runs.recorded import read_info
from avloc.types import DatasetInfo


def require_same_data(runs: Iterable[Run], opened: Mapping[str, DatasetInfo]) -> None:
    """Compares what runs were trained on with each other, and with what others will be.

    Args:
      runs: of a grid, whether or not they have begun.
      opened: the data sets that will be trained on, by name.

    Raises:
      ValueError: two states of one data set.
    """
    known = {name: (info, "the data set as it is now") for name, info in opened.items()}
    for run in runs:
        file = run.folder / "data.json"
        if not file.is_file():
            continue
        here, name = read_info(file), run.config.data.name
        there, what = known.setdefault(name, (here, str(run.folder)))
        if not (here.fingerprint and there.fingerprint):
            continue
        if not (here.same_data(there) or there.same_data(here)):
            raise ValueError(
                f"{run.folder} was trained on another {name} than {what} (fingerprint "
                f"{here.fingerprint}, not {there.fingerprint}): name another workdir, bring those "
                "data back, or remove that folder to train it again"
            )

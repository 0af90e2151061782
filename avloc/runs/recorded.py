"""What a run's folder says in JSON, field by field: its config, data and categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avloc.json_files import as_count, as_kind, as_whole, parse_json, read_json, take, take_texts

if TYPE_CHECKING:  # JAX is not waited for
    from avloc.clustering.assignment import CategoryMap
    from avloc.types import DatasetInfo

_NAMES = {int: "a whole number", float: "a number"}


@contextmanager
def restorable(file: Path, fix: str = "restore it or start again") -> Iterator[None]:
    """Says of a file that it is damaged, how, and what to do."""
    try:
        yield
    except ValueError as error:
        told = str(error).removeprefix(str(file)).lstrip(":, ")
        raise ValueError(f"{file} is damaged ({told}): {fix}") from None


def read_config(file: Path) -> dict[str, Any]:
    """The fields of a `config.json`, each of the type that the method's own config has.

    Of a method that is not avloc's own, `method` alone is looked at.

    Raises:
      ValueError: naming the file and the field.
    """
    with restorable(file):
        fields = read_json(file, dict)
        method = take(fields, "method", str, str(file))
        if ":" not in method:
            _require_types(fields, _template(method, fields), str(file))
    return fields


def _template(method: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    from avloc.configs import c2f, csol, ier

    bases = {"c2f": c2f, "csol": csol, "ier": ier}
    if "identification" in fields:
        method = "ier"
    return bases.get(method, csol).base().to_dict()


def require_fields(config: Mapping[str, Any], file: Path) -> None:
    """Raises ValueError where a field of the method's own config is missing."""
    if ":" not in config["method"]:
        like = _template(config["method"], config)
        with restorable(file):
            # Which of its networks an optimizer names is left to a config.
            _require_there(config, {k: v for k, v in like.items() if k != "optimizers"}, "")


def _require_there(fields: Mapping[str, Any], like: Mapping[str, Any], group: str) -> None:
    for name, wanted in like.items():
        if name not in fields:
            raise ValueError(f'the field "{group}{name}" is missing')
        if isinstance(wanted, dict):
            _require_there(fields[name], wanted, f"{group}{name}.")


def _require_types(fields: Mapping[str, Any], like: Mapping[str, Any], place: str) -> None:
    """Compares the types of the fields that both have."""
    for name in like.keys() & fields.keys():
        value, wanted, where = fields[name], like[name], f'{place}, "{name}"'
        if isinstance(wanted, dict):
            _require_types(as_kind(value, dict, where), wanted, where)
        elif isinstance(wanted, bool | str):
            as_kind(value, type(wanted), where)
        elif isinstance(wanted, tuple | list):
            for n, entry in enumerate(as_kind(value, list, where)):
                if not isinstance(entry, type(wanted[0]) if wanted else str | int):
                    raise ValueError(f"{where}, entry {n}: must not be {entry!r}")
        elif isinstance(value, bool) or not isinstance(value, (int, type(wanted))):
            raise ValueError(f"{where}: must be {_NAMES[type(wanted)]}, not {value!r}")


def read_info(file: Path) -> DatasetInfo:
    """The data of a run, as its `data.json` has them; raises as `data_fields`."""
    from avloc.types import DatasetInfo

    return DatasetInfo(**data_fields(file))


def data_fields(file: Path) -> dict[str, Any]:
    """The fields of `DatasetInfo` that a `data.json` has; those of a later version are left out.

    Raises:
      ValueError: naming the file and the field.
    """
    place = str(file)
    with restorable(file):
        fields = read_json(file, dict)
        sizes = take(fields, "num_examples", dict, place)
        extra = take(fields, "extra", dict, place) if "extra" in fields else {}
        if extra.get("data_dir") is not None:
            take(extra, "data_dir", str, f'{place}, "extra"')
        texts = {"name", "fingerprint", "stored"} & fields.keys()
        counts = {"sample_rate", "max_objects"} & fields.keys()
        return {
            "num_examples": {
                split: as_count(size, f'{place}, "num_examples", {split}')
                for split, size in sizes.items()
            },
            "class_names": take_texts(fields, "class_names", place),
            "extra": extra,
            **{name: take(fields, name, str, place) for name in texts},
            **{name: as_count(fields[name], f'{place}, "{name}"', 1) for name in counts},
        }


def read_sessions(file: Path) -> list[dict[str, Any]]:
    """The entries of a `sessions.json`; see `avloc.runs.sessions`.

    Raises:
      ValueError: naming the file and the field.
    """
    entries = read_json(file, list)
    for n, entry in enumerate(entries):
        place = f"{file}, entry {n}"
        as_kind(entry, dict, place)
        for name in ("avloc", "python", "jax", "flax", "title", "started"):
            take(entry, name, str, place)
        for name in {"started", "ended", "last_seen"} & entry.keys():
            datetime.fromisoformat(take(entry, name, str, place))
        if entry.get("commit") is not None:
            take(entry, "commit", str, place)
        take_texts(entry, "devices", place)
        for name in ("processes", "step"):
            as_count(entry.get(name), f'{place}, "{name}"')
        for phase in take(entry, "phases", list, place):
            as_kind(phase, dict, f'{place}, "phases"')
            as_count(phase.get("epochs"), f'{place}, "phases"')
            if phase.get("stage") is not None:
                take(phase, "stage", str, f'{place}, "phases"')
    return entries


def history_row(line: str | bytes) -> dict[str, Any]:
    """A line of `train.jsonl`; ValueError if it is none."""
    row = as_kind(parse_json(line), dict, "a line")
    take(row, "phase", str, "a line")
    for name in ("step", *({"time", "seconds", "epoch"} & row.keys())):
        if isinstance(row.get(name), bool) or not isinstance(row.get(name), int | float):
            raise ValueError(f"{name} is no number")
    return row


def read_categories(file: Path, clusters: int) -> CategoryMap:
    """The names of a run's clusters, as its `categories.json` has them.

    Args:
      file: the path.
      clusters: how many the run has.

    Raises:
      ValueError: naming the file and the field.
    """
    from avloc.clustering.assignment import CategoryMap

    place = str(file)
    with restorable(file, "remove it, and run `avloc evaluate` again"):
        fields = read_json(file, dict)
        names = take_texts(fields, "names", place)
        found = take(fields, "of_cluster", list, place)
        of_cluster = tuple(as_whole(x, f'{place}, "of_cluster"') for x in found)
        if len(of_cluster) != clusters:
            raise ValueError(
                f'{place}, "of_cluster": the run has {clusters} clusters, not {len(of_cluster)}'
            )
        return CategoryMap(of_cluster, names)

"""`avloc data ...`: data sets built, listed, examined, looked at."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from avloc.verbs import next_steps


def build(args: argparse.Namespace) -> None:
    """`avloc data build`."""
    from avloc.data_pipelines import registry

    built = registry.build(args.name, source=args.source, data_dir=args.data_dir)
    _show_first_steps(built.info.full_name, built.info.splits, args.data_dir)


def _show_first_steps(full_name: str, splits: Iterable[str], data_dir: str | None) -> None:
    spec = full_name.rpartition("/")[0]  # without the version
    look = next_steps.preview_of(spec, splits, data_dir)
    next_steps.show(look, *next_steps.training_on(spec, data_dir))


def list_all(args: argparse.Namespace) -> None:
    """`avloc data list`."""
    from avloc.data_pipelines import registry

    print(f"data sets in {registry.data_root(args.data_dir)}")
    listings = registry.list_datasets(args.data_dir)
    for listing in listings:
        entry = listing.entry
        sizes = ", ".join(f"{split} {count}" for split, count in listing.splits.items())
        state = "not built" if listing.path is None else "damaged"
        if sizes:
            state = f"{sizes}; {listing.size / 1e6:.1f} MB"
        print(f"\n{listing.spec}: {entry.description}\n  {state}")
        sources = [f"the built {entry.made_from}"] if entry.made_from else []
        if sources := [*sources, *filter(None, [entry.needs])]:
            print(f"  made from {', or '.join(sources)}")
        if entry.publisher:
            print(f"  published at {entry.publisher}")
        if not sizes:
            print(f"  build it with `{listing.build_command}`")
    print()
    if built := next((listing for listing in listings if listing.splits), None):
        next_steps.show(next_steps.preview_of(built.spec, built.splits, args.data_dir))
    else:
        next_steps.show(listings[0].build_command)


def doctor(args: argparse.Namespace) -> int:
    """`avloc data doctor`: exit status 1 where some split cannot be built."""
    from avloc.data_pipelines import registry
    from avloc.data_pipelines.dataset import Dataset
    from avloc.drawing.table import terminal_width
    from avloc.reports import data as data_report
    from avloc.reports.data_tables import built_table, source_summary

    out = Path(args.out or f"doctor_{args.name.replace('/', '_')}")
    if not args.source:
        if args.decode:
            raise ValueError("--decode goes with --source: a built data set is decoded")
        dataset = Dataset(registry.open_dataset(args.name, args.data_dir))
        built, page = data_report.examine_built(args.name, dataset, out)
        print(f"{built_table(built).text(terminal_width())}\n\npage         {page}")
        _show_first_steps(dataset.name, dataset.info.num_examples, args.data_dir)
        return 0
    wanted = registry.collection(args.name, args.source)
    findings, page = data_report.examine_source(
        args.name, args.source, wanted, out, decode=args.decode
    )
    print(f"{source_summary(findings, terminal_width())}\n\npage         {page}")
    if findings.blocked:
        next_steps.show("get what the page lists as missing, and look again:", args.words)
        return 1
    next_steps.show(
        ["data", "build", args.name, "--source", args.source, *next_steps.where(args.data_dir)]
    )
    return 0


def preview(args: argparse.Namespace) -> None:
    """`avloc data preview`."""
    from avloc.data_pipelines.dataset import Dataset
    from avloc.reports.data import write_preview

    out = Path(args.out or f"preview_{args.name.replace('/', '_')}_{args.split}.png")
    dataset = Dataset.open(args.name, args.data_dir)
    print(f"drawn        {write_preview(args.name, dataset, args.split, args.items, out)}")
    first = args.name.partition("+")[0]
    doctor = ["data", "doctor", first, *next_steps.where(args.data_dir)]
    next_steps.show(*(next_steps.training_on(first, args.data_dir) or [doctor]))

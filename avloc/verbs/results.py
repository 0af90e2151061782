"""Scores and reports: `avloc evaluate`, `score`, `report`, `info`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from avloc.verbs import next_steps
from avloc.verbs.opening import joined, open_dataset

if TYPE_CHECKING:
    from avloc.runs.folder import RunFolder
    from avloc.scoring.run import Scorer


def evaluate(args: argparse.Namespace) -> None:
    """`avloc evaluate`."""
    with joined(args):
        from avloc.drawing.table import terminal_width
        from avloc.machine import hosts
        from avloc.runs.folder import RunFolder
        from avloc.scoring.run import Scorer

        run = RunFolder(args.workdir)
        with hosts.together():
            if args.data:
                scorer: Scorer = _elsewhere(run, args)
            else:
                scorer = Scorer(run, open_dataset(run.config().data.name, run, args.data_dir))
        hosts.require_same("data", str(replace(scorer.dataset.info, extra={}, stored="")))
        scores = scorer.score(args.split, args.protocol, args.stage)
        told = [scores.text(terminal_width()), *scorer.remarks()]
        print("\n\n".join(told) + f"\n\neach item's scores are in {scorer.evaluation}")
        if hosts.first():
            words = ["--workdir", run.path, *next_steps.where(args.data_dir)]
            in_part = not args.data and (args.split or args.protocol or args.stage)
            next_steps.show(["evaluate" if in_part else "report", *words])


def _elsewhere(run: RunFolder, args: argparse.Namespace) -> Scorer:
    """Scores another data set; the run's own is used if it is there."""
    from types import SimpleNamespace

    from avloc.scoring.elsewhere import ElsewhereScorer
    from avloc.scoring.run import Scorer
    from avloc.training.loading import recorded_info

    other = open_dataset(args.data, run, args.data_dir)
    name, why = run.config().data.name, []
    for place in dict.fromkeys([None, args.data_dir]):  # where the run had it, and beside the other
        try:
            return ElsewhereScorer(Scorer(run, open_dataset(name, run, place)), other)
        except ValueError as error:
            why.append(str(error))
    return ElsewhereScorer(Scorer(run, SimpleNamespace(info=recorded_info(run))), other, why[0])


def score_maps(args: argparse.Namespace) -> None:
    """`avloc score`."""
    if args.annotations:
        _score_annotations(args)
        return
    from avloc.data_pipelines.dataset import Dataset
    from avloc.drawing.table import terminal_width
    from avloc.scoring import map_scores

    dataset = Dataset.open(args.data, args.data_dir)
    source = dataset.source(args.split)
    title = f"{Path(args.maps).name} on {args.data}, split {args.split}"
    scores = map_scores.score_maps(args.maps, source, dataset.info, args.protocol, title)
    print(scores.text(terminal_width()))
    if args.out:
        scores.write(args.out)
        print(f"\nwritten to {args.out}")
    print()
    everything = args.protocol == map_scores.ALL
    out = args.out or (f"score_{Path(args.maps).stem}" if everything else None)
    if everything and args.out:
        next_steps.show(f"read {Path(args.out) / 'score.md'}: how much of a score is the rule")
        return
    words = ["score", "--maps", args.maps, "--data", args.data, "--split", args.split]
    words += ["--protocol", map_scores.ALL, *(["--out", out] if out else [])]
    next_steps.show([*words, *next_steps.where(args.data_dir)])


def _score_annotations(args: argparse.Namespace) -> None:
    """The model-free rows, on boxes alone."""
    from avloc.drawing.table import terminal_width
    from avloc.scoring.annotated import score_annotations, table

    rows, about = score_annotations(args.data, args.annotations, args.split, args.protocol)
    found = table(rows, about)
    print(f"{found.title}\n\n{found.text(terminal_width())}\n")
    if args.out:
        for row, scores in rows.items():
            scores.write(Path(args.out) / row.replace(" ", "_"))
        print(f"written to {args.out}\n")
    words = ["score", "--maps", "MAPS", "--data", args.data, "--split", args.split]
    next_steps.show([*words, "--protocol", args.protocol])


def report(args: argparse.Namespace) -> None:
    """`avloc report`."""
    from avloc.reports.run import write_run_report
    from avloc.runs.folder import RunFolder
    from avloc.scoring.run import Scorer
    from avloc.scoring.scores import stored_scores

    run = RunFolder(args.workdir)
    scores, scorer, missing = stored_scores(run), None, ""
    name = run.config().data.name
    try:
        scorer = Scorer(run, open_dataset(name, run, args.data_dir))
    except ValueError as error:
        if scores is None and (run.path / "metrics.json").is_file():
            raise ValueError(
                f"{run.path / 'metrics.json'} is damaged, or was made under rules of scoring that "
                f"have changed since, and cannot be made again: {error}"
            ) from error
        if scores is None:
            raise
        missing = str(error)
    if scores is None:
        scores = scorer.score()
    print(f"report       {write_run_report(run, scores, scorer, missing)}")
    next_steps.show(next_steps.localizing(run.path, scorer.dataset.metadata if scorer else {}))


def info(args: argparse.Namespace) -> None:
    """`avloc info`."""
    import json

    from avloc.reports.info import info, text

    facts = info(args.run_folder)
    print(json.dumps(facts, indent=2) if args.json else text(facts))

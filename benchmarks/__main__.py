"""`python -m benchmarks`: every row measured, printed as a table, written as JSON and a report."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence

from avloc.drawing.charts import Curve
from benchmarks import machine
from benchmarks.results import Results
from benchmarks.row import Row

TOPICS = {
    "steps": "benchmarks.steps",
    "assignment": "benchmarks.assignment",
    "kmeans": "benchmarks.kmeans",
    "log_mel": "benchmarks.log_mel",
    "metrics": "benchmarks.metrics",
    "pipeline": "benchmarks.pipeline",
    "scaling": "benchmarks.scaling",
}
"""Module of each topic, in the order in which they are measured."""


def measure(topics: Mapping[str, str], results: Results) -> Results:
    """Adds the rows of each topic's module; Ctrl-C stops and keeps the finished rows.

    A topic that raises is named in `failures`, and the next one goes on.
    """
    for number, (topic, module) in enumerate(topics.items(), 1):
        print(f"[{number}/{len(topics)}] {topic} ...", file=sys.stderr, flush=True)
        try:
            found: Iterator[Row | Curve] = importlib.import_module(module).rows(results.quick)
            for item in found:
                if isinstance(item, Curve):
                    results.curves.append(item)
                    print(f"  curve: {item.title}", file=sys.stderr, flush=True)
                else:
                    results.rows.append(item)
                    print("  " + " | ".join(map(str, item.cells())), file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            results.interrupted = True
            print("stopped; the finished rows are kept", file=sys.stderr)
            break
        except Exception as error:
            traceback.print_exc()
            results.failures[topic] = f"{type(error).__name__}: {error}"
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 1 if a topic failed, 130 if it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=TOPICS,
        metavar="NAME",
        default=list(TOPICS),
        help=f"topics to measure, all by default: {', '.join(TOPICS)}",
    )
    parser.add_argument("--json", metavar="FILE", help="write everything measured to this file")
    parser.add_argument("--out", metavar="DIR", default="runs/bench", help="folder of report.html")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for a test")
    args = parser.parse_args(arguments)
    results = Results(machine.describe(), [machine.load()], quick=args.quick)
    measure({name: TOPICS[name] for name in TOPICS if name in args.rows}, results)
    results.load.append(machine.load())
    print(results.markdown())
    if args.json:
        print(f"wrote {results.write_json(args.json)}", file=sys.stderr)
    print(f"wrote {results.write_report(args.out)}", file=sys.stderr)
    return 130 if results.interrupted else int(bool(results.failures))


if __name__ == "__main__":
    sys.exit(main())

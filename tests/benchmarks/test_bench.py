"""The benchmarks' own arithmetic: rows, turns, what is kept, what is written, what is printed."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from avloc.clustering import match
from avloc.drawing.charts import Curve
from benchmarks import __main__ as bench
from benchmarks import assignment, kmeans, metrics
from benchmarks.results import Results
from benchmarks.row import COLUMNS, REMARKS, Equality, Row, Spread, in_turn

SAME = Equality("difference", 1e-6, 1e-4)
MACHINE = {
    "date": "today",
    "commit": "abc",
    "processor": "an abacus",
    "cores": 2,
    "system": "none",
    "python": "3",
    "devices": ["cpu"],
    "packages": {"jax": "1", "torch": "not installed"},
}


def row(**fields) -> Row:
    given = {"seconds": (1.0, 2.0, 4.0), "beside_seconds": (3.0, 2.0, 20.0)}
    return Row(
        **{"name": "sums", "beside": "an abacus", "target": 2.0, "equality": SAME} | given | fields
    )


def test_a_ratio_is_the_median_of_the_rounds_own():
    # 3, 1 and 5; the ratio of the medians would be 1.5.
    assert row().ratio == Spread(3.0, 1.0, 5.0)
    assert row().met
    assert not row(target=3.5).met
    assert row(target=None).met is None


@pytest.mark.parametrize("found", [2e-4, float("nan")])
def test_a_result_that_differs_meets_no_target(found):
    different = row(equality=Equality("difference", found, 1e-4))
    assert not different.met
    assert "NOT" in different.remarks()[REMARKS.index("equal")]


def test_a_missing_counterpart_is_said_and_not_made_up():
    alone = row(beside_seconds=(), missing="torch is not installed")
    assert alone.ratio is None and alone.met is None
    cells = dict(zip(COLUMNS, alone.cells(), strict=True))
    assert str(cells["beside"]) == "torch is not installed (an abacus)"
    assert (cells["times faster"].text, cells["met"].text) == ("-", "-")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seconds": ()}, "no times"),
        ({"seconds": (1.0,)}, "in each round"),
        ({"beside_seconds": ()}, "why they are missing"),
        ({"missing": "no torch"}, "why they are missing"),
    ],
)
def test_a_row_without_what_it_needs_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        row(**fields)


def test_a_rate_is_shown_beside_the_time():
    *_, ours, theirs = map(str, row(amount=16, unit="pairs").cells())
    assert (ours, theirs) == ("2 s (8 pairs/s)", "3 s (an abacus; 5.333 pairs/s)")
    assert str(row(seconds=(2e-5,) * 3).cells()[-2]) == "20 µs"


def test_all_are_called_in_each_round_and_none_is_always_first():
    calls = []
    times = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert [len(times[name]) for name in "ab"] == [3, 3]


def results(*rows: Row) -> Results:
    curve = Curve("time", {"ours": [(1, 0.5), (2, 0.75)]}, "rows", "seconds")
    return Results(MACHINE, [[0.1, 0.2, 0.3]], rows=list(rows), curves=[curve])


def test_rows_survive_json(tmp_path):
    rows = [row(), row(beside_seconds=(), missing="not installed", equality=None)]
    written = json.loads(results(*rows).write_json(tmp_path / "deep" / "bench.json").read_text())
    assert [Row.from_json(each) for each in written["rows"]] == rows
    assert written["rows"][0]["ratio"] == {"median": 3.0, "low": 1.0, "high": 5.0}
    assert written["rows"][0]["met"] and written["rows"][1]["ratio"] is None
    assert written["machine"] == MACHINE and written["load"] == [[0.1, 0.2, 0.3]]
    assert written["curves"][0]["series"] == {"ours": [[1, 0.5], [2, 0.75]]}


def test_the_report_has_table_curve_and_conditions(tmp_path):
    page = results(row()).write_report(tmp_path).read_text()
    assert "<svg" in page and "3 <small>(1 to 5)" in page and "torch not installed" in page


def topics(monkeypatch, **made):
    """Modules with these `rows`."""
    for name, rows in made.items():
        monkeypatch.setitem(sys.modules, f"topic_{name}", SimpleNamespace(rows=rows))
    return {name: f"topic_{name}" for name in made}


def test_ctrl_c_keeps_what_was_measured(monkeypatch):
    def stopped(quick):
        yield row(name="first")
        raise KeyboardInterrupt

    def never(quick):
        raise AssertionError("not asked for")

    found = bench.measure(topics(monkeypatch, stopped=stopped, never=never), results())
    assert [each.name for each in found.rows] == ["first"]
    assert found.interrupted and not found.failures
    assert "stopped before its end" in found.markdown()


def test_a_topic_that_fails_is_named_and_the_next_goes_on(monkeypatch, capsys):
    def fails(quick):
        yield row(name="first")
        raise ValueError("no such thing")

    def follows(quick):
        yield row(name="second")

    found = bench.measure(topics(monkeypatch, fails=fails, follows=follows), results())
    assert [each.name for each in found.rows] == ["first", "second"]
    assert found.failures == {"fails": "ValueError: no such thing"}
    assert "Topic fails failed: ValueError: no such thing." in found.markdown()


def test_exit_codes_tell_of_failures_and_of_ctrl_c(monkeypatch, tmp_path, capsys):
    def raising(error):
        def rows(quick):
            raise error

        return rows

    made = topics(
        monkeypatch,
        good=lambda quick: [row()],
        bad=raising(OSError("full")),
        stopped=raising(KeyboardInterrupt()),
    )
    monkeypatch.setattr(bench, "TOPICS", made)
    for name, code in (("good", 0), ("bad", 1), ("stopped", 130)):
        assert bench.main(["--rows", name, "--out", str(tmp_path)]) == code
    assert "sums" in capsys.readouterr().out


def test_the_command_measures_one_topic(tmp_path, capsys):
    written = tmp_path / "bench.json"
    asked = ["--rows", "assignment", "--quick", "--out", str(tmp_path), "--json", str(written)]
    assert bench.main(asked) == 0
    out = capsys.readouterr().out
    assert "cluster-to-category, 20 x 11" in out and "figures are meaningless" in out
    found = json.loads(written.read_text())
    assert len(found["rows"]) == 2 and all(each["equality"] for each in found["rows"])
    assert (tmp_path / "report.html").is_file()


def test_every_topic_is_a_module_with_rows():
    for module in bench.TOPICS.values():
        assert callable(__import__(module, fromlist=["rows"]).rows)


def test_no_exchange_betters_what_match_finds_and_one_betters_what_was_drawn():
    frequencies = np.random.default_rng(0).dirichlet(np.full(60, 0.2), size=15)
    assert assignment.best_exchange(frequencies, match(frequencies)) == pytest.approx(0, abs=1e-12)
    drawn = assignment.draw(frequencies, 20)
    assert set(drawn) == set(range(15))
    assert assignment.best_exchange(frequencies, drawn) > 0.01
    # Category 1 would gain by both clusters, but one of them 0 must keep: the second costs less.
    by_hand = np.array([[0.1, 0.1], [0.4, 0.3]])
    assert assignment.best_exchange(by_hand, np.array([1, 0])) == pytest.approx(0)
    assert assignment.best_exchange(by_hand, np.array([0, 1])) > 0.05


def test_kmeans_and_its_counterpart_do_the_same():
    _, equality = kmeans.compare(kmeans.representations(400, 6), 20, iterations=4, rounds=1)
    assert equality.holds and equality.found > 0


def test_kmeans_never_holds_all_distances():
    rows, columns, k = 60_000, 4, 2_000
    chunks = [kmeans.working_memory(n * rows, columns, k) for n in (1, 2)]
    assert chunks[0] < 4 * rows * k / 8
    # Twice the rows take some more columns, but no more distances.
    assert chunks[1] - chunks[0] < 16 * 4 * rows * columns


def test_scenes_score_as_the_published_loop_has_them():
    found = metrics.scenes(10, 4)
    ours = metrics.measured(found)
    # A share of the area is float32: 100 of it are right to 6e-6.
    assert ours == pytest.approx(metrics.looped(found), abs=6e-6)
    assert 0 < ours[0] < 100 and 0 < ours[2] < 100

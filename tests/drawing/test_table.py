"""Tables as wide as the terminal: nothing is wider, and nothing is lost."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from avloc.drawing.table import Cell, Table, terminal_width

ROWS = ["CSOL after stage two", "untrained network", "ceiling"]
HEADS = ["IoU@0.5", "AUC", "AP50", "NMI", "quiet recall at precision 0.8", "purity"]
SCORES = Table(
    "Scores",
    ["", *HEADS],
    [
        [row, *(Cell(f"{10 * i + k}.5", f"[{k}.0, {10 * i + k}.25]") for k in range(6))]
        for i, row in enumerate(ROWS, 1)
    ],
    "In brackets: 95 % interval over videos, by a bootstrap of as many samples as it takes.",
)
SMALL = Table("", ["", "AUC", "NMI"], [["ours", Cell("61.2", "[55.0, 66.1]"), "-"]])


def test_a_ragged_table_is_refused():
    with pytest.raises(ValueError, match="row 'a' has 1 cells, there are 2 columns"):
        Table("T", ["", "x"], [["a"]])


def test_markdown_is_aligned():
    table = Table("", ["", "IoU@0.5"], [["ours", Cell("61.2", "[55.0, 66.1]")]], "A <note>.")
    lines = table.markdown().splitlines()
    assert lines[0] == "|      |           IoU@0.5 |"
    assert lines[1] == "| ---- | ----------------: |"
    assert lines[2] == "| ours | 61.2 [55.0, 66.1] |"
    assert lines[-1] == "A <note>."


def test_it_is_markdown_where_no_width_is_known():
    assert SCORES.text(None) == SCORES.text() == SCORES.markdown()


def test_a_small_table_by_hand():
    assert SMALL.text(40).splitlines() == [
        "                     AUC   NMI",
        "──────────────────────────────",
        "ours   61.2 [55.0, 66.1]     -",
    ]
    # In less room the interval goes below its value.
    assert SMALL.text(28).splitlines() == [
        "                AUC   NMI",
        "─────────────────────────",
        "ours           61.2     -",
        "       [55.0, 66.1]",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
def test_no_line_is_wider_and_no_figure_is_lost(width):
    text = SCORES.text(width)
    assert max(map(len, text.splitlines())) <= width
    for row in SCORES.rows:
        for cell in row[1:]:
            assert cell.text in text and cell.aside in text
    assert " ".join(SCORES.note.split()) in " ".join(text.split())
    # Each part has all rows, and every column stands in one part.
    *parts, _ = text.split("\n\n")
    assert all(row in part for row in ROWS for part in parts)
    assert sum(part.count("AUC") for part in parts) == 1
    assert len(parts) == {40: 6, 200: 1}.get(width, len(parts))


def test_in_a_very_narrow_terminal_lines_are_too_long_and_whole():
    text = SCORES.text(10)
    assert all(cell.text in text and cell.aside in text for row in SCORES.rows for cell in row[1:])


def test_prose_is_folded_and_markup_is_text():
    words = (
        "Found in cello.mp4, [bold]flute[/bold].mp4, a_file_with_a_name_longer_than_the_line.mp4"
    )
    text = Table("", ["what", "which"], [["unreadable", words], ["none", "-"]]).text(50)
    assert max(map(len, text.splitlines())) <= 50
    told = "".join(line[13:] for line in text.splitlines()[2:])
    assert words.replace(" ", "") in told.replace(" ", "")


@pytest.mark.parametrize("table", [Table("", ["a", "b"], []), Table("", ["a"], [["x"]])])
def test_without_rows_or_columns(table):
    assert all(head in table.text(40) for head in table.columns)


def test_a_pipe_has_no_width_and_a_terminal_its_own():
    code = "from avloc.drawing.table import terminal_width; print(terminal_width())"
    environment = {k: x for k, x in os.environ.items() if k not in ("COLUMNS", "LINES")}
    command = {"args": [sys.executable, "-c", code], "env": environment, "check": True}
    assert subprocess.run(**command, capture_output=True, text=True).stdout == "None\n"
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 77))
    subprocess.run(**command, stdout=theirs)
    assert os.read(ours, 100) == b"77\r\n"
    for end in (ours, theirs):
        os.close(end)


def test_in_a_test_nobody_sits_there(capsys):
    assert terminal_width() is None

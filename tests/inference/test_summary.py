import pytest

from avloc.inference.summary import Heard, heard, spans, table_of, table_of_all


def second(number, **scores):
    """A second in which a score of 0.5 sounds."""
    return {
        "second": number,
        "classes": [
            {"name": name, "score": score, "state": "sounding" if score >= 0.5 else "silent"}
            for name, score in scores.items()
        ],
    }


BAND = {
    "threshold": 0.5,
    "seconds": [
        second(0, drum=0.6, flute=0.1),
        second(1, drum=0.97, flute=0.2),
        second(3, drum=0.5, flute=0.99),
    ],
}
SILENT = {"threshold": 0.5, "seconds": [second(0, drum=0.1)]}


def test_what_sounds_longest_comes_first():
    assert heard(BAND) == [Heard("drum", 0.97, (0, 1, 3)), Heard("flute", 0.99, (3,))]
    assert heard(SILENT) == []
    photo = {"threshold": 0.5, "classes": second(0, drum=0.1, bell=0.8)["classes"]}
    assert heard(photo) == [Heard("bell", 0.8, ())]


def test_tables():
    assert table_of(BAND).rows == [
        ["drum", "3", "0.97", "0:00-0:02, 0:03-0:04"],
        ["flute", "1", "0.99", "0:03-0:04"],
    ]
    assert table_of(SILENT) == "nothing reaches the threshold of 0.5"
    photo = {"threshold": 0.5, "classes": second(0, drum=0.1, bell=0.8)["classes"]}
    assert table_of(photo).rows == [["bell", "0.80"]]
    table = table_of_all({"a": BAND, "b": SILENT})
    assert table.rows == [["a", "3", "drum 3, flute 1"], ["b", "1", "nothing"]]
    assert not table.note


def test_a_table_of_many_videos_is_short():
    table = table_of_all({str(n): SILENT for n in range(33)})
    assert len(table.rows) == 20 and table.note == "and 13 more, in the files"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ([5], "0:05-0:06"),
        ([58, 59, 60, 62], "0:58-1:01, 1:02-1:03"),
        ([3600], "1:00:00-1:00:01"),
        (
            range(0, 16, 2),
            "0:00-0:01, 0:02-0:03, 0:04-0:05, 0:06-0:07, 0:08-0:09, 0:10-0:11 and 2 more",
        ),
    ],
)
def test_spans(seconds, told):
    assert spans(list(seconds)) == told

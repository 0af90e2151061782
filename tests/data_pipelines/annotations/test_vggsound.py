"""VGGSound's list of clips."""

import pytest

from avloc.data_pipelines.annotations.vggsound import Clip, read_clips


def test_clips_by_id(tmp_path):
    path = tmp_path / "vggsound.csv"
    path.write_text(
        "---g-f_I2yQ,1,people marching,test\n"
        'aaaaaaaaaaa,30,"female speech, woman speaking",train\n'
        "---g-f_I2yQ,90,people marching,train\n"
    )
    assert read_clips(path) == {
        "---g-f_I2yQ": Clip(1.0, "people marching", "test"),
        "aaaaaaaaaaa": Clip(30.0, "female speech, woman speaking", "train"),
    }


@pytest.mark.parametrize(
    "row",
    ["aaaaaaaaaaa,30,tap", "aaaaaaaaaaa,30,tap,valid", "aaaaaaaaaaa,soon,tap,test", "a,inf,b,test"],
)
def test_rows_that_cannot_be(tmp_path, row):
    path = tmp_path / "vggsound.csv"
    path.write_text("---g-f_I2yQ,1,people marching,test\n" + row)
    with pytest.raises(ValueError, match=r"vggsound\.csv, line 2: must be"):
        read_clips(path)

"""How a command ends that meets what nobody foresaw, a full disk, or a reader that has gone."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from avloc.cli import main
from avloc.whole_files import replacing

DOCTOR = "avloc.data_pipelines.registry.list_datasets"


def raises(monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(DOCTOR, fail)


@pytest.mark.parametrize(
    "error", [TypeError("a\nb"), KeyError("x"), RecursionError(), IndexError()]
)
def test_what_nobody_foresaw_is_one_sentence(monkeypatch, capsys, error):
    raises(monkeypatch, error)
    assert main(["data", "list"]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"avloc: error: {type(error).__name__}") and "--debug" in line
    assert "https://github.com/avloc/avloc/issues" in line and "(data.py, line " in line
    assert main(["data", "list", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_too_little_memory(monkeypatch, capsys):
    raises(monkeypatch, MemoryError())
    assert main(["data", "list"]) == 70
    assert "not enough memory (data.py, line" in capsys.readouterr().err


def test_an_error_of_python_says_where_it_was_met(monkeypatch, fails):
    monkeypatch.setattr(DOCTOR, lambda *arguments: int("x"))
    assert "invalid literal for int() with base 10: 'x' (data.py, line" in fails("data", "list")
    raises(monkeypatch, ValueError("a sentence of ours"))  # a line with `raise`, but a test's
    assert fails("data", "list").startswith("a sentence of ours (data.py, line")
    assert fails("data", "lsit").endswith("; did you mean `avloc data list`?")


@pytest.mark.parametrize(
    ("file", "meant"),
    [
        ("/a/.band.mp4.part", "/a/band.mp4: "),
        ("/a/.config.json.123", "/a/config.json: "),
        ("/a/.page.html.99.part", "/a/page.html: "),
        ("/a/page.html.part", "/a/page.html: "),
        ("/a/.lock", "/a/.lock: "),
        (None, "/my/data: "),
    ],
)
def test_a_full_disk_is_named_by_the_file_that_is_meant(monkeypatch, fails, file, meant):
    raises(monkeypatch, OSError(errno.ENOSPC, "No space left on device", file))
    words = f"{meant}no space left on device; free space there, or name another folder"
    assert fails("data", "list", "--data-dir", "/my/data") == words


def test_half_a_file_is_removed(tmp_path, monkeypatch):
    file = tmp_path / "new" / "page.html"
    for error in (OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()):
        with pytest.raises(type(error)), replacing(file) as unfinished:
            unfinished.write_text("half")
            raise error
        assert list(file.parent.iterdir()) == []
    with replacing(file) as unfinished:
        unfinished.write_text("whole")
    assert [path.read_text() for path in file.parent.iterdir()] == ["whole"]


def test_sigterm_ends_a_verb_as_ctrl_c_does(tmp_path, monkeypatch, capsys):
    def stop(*arguments):
        with replacing(tmp_path / "x") as unfinished:
            unfinished.write_text("half")
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(DOCTOR, stop)
    assert main(["data", "list"]) == 143
    assert capsys.readouterr().err.startswith("avloc: stopped; the same command")
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGTERM) is before


def test_nobody_reads(tmp_path):
    """As in `avloc data list | head -1`: quiet, however little is printed."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "avloc", "data", "list", "--data-dir", tmp_path]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_what_is_printed_cannot_be_written():
    words = [sys.executable, "-m", "avloc", "--version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith(b"avloc: error: ")
    assert b"no space left on device" in line


def test_a_config_that_is_none(tmp_path, fails, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text, sentence in (
        (
            "a.py",
            "def get_config():\n    return {}",
            "a.py is not a config: its get_config() g",
        ),
        ("b.py", "def get_config():\n    return None", "gives NoneType, not the ConfigDict"),
        (
            "c.py",
            "def get_config():\n    return 1 / 0",
            "c.py, line 2: ZeroDivisionError: divis",
        ),
        ("d.py", "def get_config(a):\n    return a", "d.py: TypeError: get_config() missing 1 req"),
        ("e", "def get_config():\n    return {}", "e is not a Python file: rename it to e.py"),
    ):
        Path(name).write_text(text)
        assert sentence in fails("train", "--config", name, "--workdir", "run"), name
    for content, sentence in (
        (b"x = 1\xff", "codec can't decode byte 0xff"),
        (b"# coding: klingon\n", "f.py: unknown encoding: klingon"),
        (b"x = int('many')", "f.py, line 1: ValueError: invalid literal for int()"),
    ):
        Path("f.py").write_bytes(content)
        assert sentence in fails("train", "--config", "f.py", "--workdir", "run"), content
    Path("f.py").write_bytes(b"x = 1\0")  # in words of the line of Python
    assert fails("train", "--config", "f.py", "--workdir", "run").startswith("f.py")
    for value in ("{[]:1}", "(" * 999, "[" * 99999, "\0", "1" * 9999):
        given = f"--config.batch_size={value}"
        sentence = fails("train", "--config", "csol_toy", "--workdir", "run", given)
        assert "config.batch_size must be of type int" in sentence
    assert not Path("run").exists()


def test_info_takes_the_option_of_the_other_verbs(tmp_path, fails):
    sentence = fails("info", tmp_path / "run")
    assert "no such folder" in sentence
    assert fails("info", "--workdir", tmp_path / "run") == sentence
    assert "RUN --workdir is required" in fails("info")
    assert "not allowed with" in fails("info", "a", "--workdir", "b")

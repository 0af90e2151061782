"""What the help says of each verb."""

import shlex

import pytest

from avloc.cli import _parser, main
from avloc.command_line import split_off_fields
from avloc.runs.experiment import load_config, override
from avloc.verbs import VERBS


@pytest.mark.parametrize("words", VERBS)
def test_help_fits_a_screen_and_its_example_is_a_command(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*words.split(), "--help"])
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 24 and max(map(len, said.splitlines())) <= 80
    examples = said.partition("\nexample:\n")[2].replace("\\\n", "").splitlines()
    meant = []
    for example in examples:
        program, *rest = shlex.split(example)
        arguments, fields = split_off_fields(rest)
        args = _parser().parse_args(arguments)
        if args.run is VERBS["train"]:
            override(load_config(args.config), fields)
        meant.append(args.run)
        assert program == "avloc"
    assert VERBS[words] in meant


def test_help_of_the_config_and_of_process_zero(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for verb, sentences in (
        ("train", ("the name of a shipped config (csol_toy)", "address of process 0, HOST:PORT")),
        ("ablate", ("a file, or a shipped one, as csol_lambda",)),
    ):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        said = capsys.readouterr().out
        assert all(sentence in said for sentence in sentences)

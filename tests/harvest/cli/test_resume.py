"""The command that a store keeps to be finished with says every option that is not its default."""

import shlex
import subprocess

import pytest
import typer
from typer.testing import CliRunner

from savs_harvest.cli import commands as cli
from savs_harvest.cli.resume import LEFT_OUT, resume_command
from savs_stores import open_store

RUN = typer.main.get_command(cli.app).commands["run"]
NEEDED = ["--model", "tiny", "--data", "digits"]
OPTIONS = {option.name: option for option in RUN.params}
# A value of each option whose words are not free; another option takes any number or word.
VALUES = {"split": "paper"}


def parsed(words):
    with RUN.make_context("run", list(words)) as context:
        return resume_command(context), context.params


def typed(option):
    """Return an option with a value that is not its default."""
    if option.is_flag:
        return [option.secondary_opts[0] if option.default else option.opts[0]]
    value = VALUES.get(option.name, "7")
    return [option.opts[0], value] * (2 if option.multiple else 1)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in ("model", "data", *LEFT_OUT)])
def test_every_option_that_is_not_its_default_is_said_again(name):
    option = OPTIONS[name]
    command, values = parsed([*NEEDED, *typed(option)])
    assert values[name] not in (None, [], option.default)
    assert typed(option)[0] in shlex.split(command)
    assert parsed(shlex.split(command)[2:]) == (command, values)


def test_all_options_at_once_are_parsed_to_the_same_values():
    everything = [word for name, option in OPTIONS.items() if name not in ("model", "data") for word in typed(option)]
    command, values = parsed([*NEEDED, *everything])
    found = parsed(shlex.split(command)[2:])[1]
    assert {name for name in values if found[name] != values[name]} == set(LEFT_OUT) & set(OPTIONS)


def test_of_an_endpoint_all_is_said_but_where_it_is_and_what_it_may_cost():
    ask = typer.main.get_command(cli.app).commands["ask"]
    options = {option.name: option for option in ask.params}
    address = "http://localhost:8000/v1"
    needed = ["--endpoint", address, "--model", "m", "--data", "digits"]
    others = [option for name, option in options.items() if name not in ("endpoint", "model", "data")]
    with ask.make_context("ask", [*needed, *(word for option in others for word in typed(option))]) as context:
        command, values = resume_command(context), context.params
    assert command.startswith("savs-harvest ask --endpoint URL ")
    assert address not in command
    with ask.make_context("ask", shlex.split(command)[2:]) as context:
        found = context.params
    assert {name for name in values if found[name] != values[name]} == (set(LEFT_OUT) & set(options)) | {"endpoint"}


def test_defaults_are_not_said_and_absolute_folders_are_not_given_away():
    assert parsed(NEEDED)[0] == "savs-harvest run --model tiny --data digits"
    assert parsed(["--model", "/home/me/mine", "--data", "digits"])[0].split()[3] == "FOLDER/mine"


def test_parity_is_a_set():
    assert parsed([*NEEDED, "--parity", "b", "--parity", "a", "--parity", "b"])[0].endswith("--parity a --parity b")


def test_the_demo_is_a_run_of_each_of_its_benchmarks_whatever_is_called_so_here(tmp_path, monkeypatch):
    """A folder named digits once was taken for the benchmark."""
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "digits-pairs"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("savs_harvest.cli.runs.DEMO", ("digits-pairs",))
    monkeypatch.setattr("savs_harvest.cli.runs.DEMO_MODELS", ("tiny",))
    real, ran = subprocess.run, []

    def analysis(words, **options):
        ran.extend([words[-2:]] if "demo" in words else [])
        return real(words, **options)

    monkeypatch.setattr(subprocess, "run", analysis)
    assert CliRunner().invoke(cli.app, ["demo"]).exit_code == 0
    assert ran == [["--store", "stores/digits-pairs.zarr"]]
    made = open_store("stores/digits-pairs.zarr")["tiny"]
    assert made.provenance["command"] == "savs-harvest run --model tiny --data digits-pairs"
    assert (tmp_path / "results/demo/answers.html").stat().st_size > 10_000

"""Stores and results from elsewhere: their words are shown, and obeyed by nothing; nothing is written into a store."""

import shlex
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from savs_analyze.cli.commands import app
from savs_analyze.cli.options import TableFormat
from savs_analyze.cli.printing import print_rows
from savs_analyze.runs.spreadsheet import csv_text
from savs_stores import BenchmarkInfo, open_store, terminal, write_store

ESCAPE, TURN = "\x1b[2J\x1b]0;owned\x07", "\u202e\u2066"
NAME = f"{ESCAPE}[red]x[/red]{TURN}\nmodel      forged: 1 layer :smile: | <b> [a](b) $\\frac"
COMMAND = f"savs-harvest run --model tiny; rm -rf ~ #{ESCAPE}\n"
SMALL = ["--method", "savs", "--shots", 2, "--draws", 2]
FORMATS = ["table", "csv", "json", "markdown", "latex"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder with a store whose every word is hostile, and a sweep of it."""
    folder = tmp_path_factory.mktemp("hostile")
    classes = sorted([f"cat {NAME}", f"dog {NAME}"])
    labels = [classes[i % 2] for i in range(60)]
    vectors = np.random.default_rng(0).normal(size=(60, 1, 4, 4))
    info = BenchmarkInfo(
        *(NAME, {f"one {NAME}": classes, f"two {NAME}": classes}),
        source=NAME,
        revision=NAME,
        licence=NAME,
        prompt=NAME,
        split=NAME,
        checks=[{"kind": NAME, "count": 1, "words": NAME, "examples": [NAME]}],
    )
    tasks = [f"{number} {NAME}" for number in ("one", "two")]
    samples = {
        "label": labels,
        "task": [tasks[i // 2 % 2] for i in range(60)],
        "split": ["pool" if i < 30 else "test" for i in range(60)],
    }
    write_store(folder / "x.zarr", benchmark=info, samples=samples, model="m", heads=vectors)
    assert invoke(
        "sweep", "--store", folder / "x.zarr", "--out", folder / "out", "--method", "savs", "--shots", 2, "--draws", 2
    )
    return folder


def invoke(*arguments):
    """Return all that a command writes."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout + result.stderr


def obeyed(text):
    """Return what a terminal would obey in a text of ours, which has lines."""
    return {character for character in text if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")} - {"\n"}


READERS = ["table", "compare", "hyperparameters", "stability", "compare-paper"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", READERS)
def test_tables_show_the_words_of_a_store_and_obey_none(command, form, hostile):
    printed = invoke(command, hostile / "out", "--format", form)
    assert not obeyed(printed)
    assert not any(line.startswith("model      forged") for line in printed.splitlines())


def test_info_verify_and_audit_obey_nothing(hostile):
    for arguments in (("info", hostile / "x.zarr"), ("verify", hostile / "x.zarr"), ("audit", hostile / "out")):
        printed = invoke(*arguments)
        assert not obeyed(printed)
        assert not any(line.startswith("model      forged") for line in printed.splitlines())
    assert not obeyed(repr(open_store(hostile / "x.zarr")["m"]))


def test_reports_and_figures_obey_nothing(hostile):
    invoke("report", hostile / "out")
    page = (hostile / "out" / "report.html").read_text()
    assert not obeyed(page)
    assert "<b>" not in page
    assert "[red]x[/red]" in page
    invoke("figures", hostile / "out")
    assert "frac" in (hostile / "out" / "heads.svg").read_text()


def test_words_are_no_markup(hostile):
    table, markdown, latex = (
        invoke("table", hostile / "out", "--format", form) for form in ("table", "markdown", "latex")
    )
    assert "[red]x[/red]" in table
    assert ":smile:" in table
    assert "\\| &lt;b> [a]\\(b)" in markdown
    assert "\\textbackslash{}frac" in latex
    assert "\\frac" not in latex


def people_of(rows, form, capsys):
    print_rows(rows, form, rows, [])
    return capsys.readouterr().out


@pytest.mark.parametrize("begin", ["=", "+", "-", "@"])
def test_a_name_is_no_formula_of_a_spreadsheet(begin, capsys):
    import pandas as pd

    rows = pd.DataFrame({"benchmark": [f"{begin}1+1|x"], "value": [-0.5], "setting": [f"{begin}x"]})
    assert people_of(rows, TableFormat.csv, capsys) == f"benchmark,value,setting\n'{begin}1+1|x,-0.5,{begin}x\n"
    wordings = pd.DataFrame({"wording": [f"{begin}a"], "other": [f"{begin}b"]})
    assert csv_text(wordings) == f"wording,other\n'{begin}a,'{begin}b\n"
    assert csv_text(rows.assign(benchmark="a-b")) == f"benchmark,value,setting\na-b,-0.5,{begin}x\n"


def test_no_hint_repeats_the_command_of_a_store(make_store, tmp_path):
    finished, unfinished = make_store(), tmp_path / "un finished.zarr"
    _begin(unfinished, finished)
    result = CliRunner().invoke(app, ["sweep", "--store", str(unfinished)])
    message = str(result.exception)
    assert "rm -rf" not in message
    harvest = terminal.command("savs-harvest", "run", "--model", "m", "--store", unfinished, "--data", "toy")
    assert f"finish it with: {harvest} and the options" in message
    assert f"which {terminal.command('savs-analyze', 'info', unfinished)} shows in the store's own words" in message
    printed = invoke("info", unfinished)
    assert not obeyed(printed)
    assert f"begun, in the store's own words, with {COMMAND!r}" in printed


@pytest.mark.parametrize(
    ("wording", "said"),
    [("td", ["--data", "toy", "--wording", "td"]), ("x; rm -rf ~", ["--data", "toy"]), ("", ["--data", "toy"])],
)
def test_a_hint_says_the_wording_as_an_option(make_store, tmp_path, wording, said):
    unfinished = tmp_path / "unfinished.zarr"
    name = f"toy-{wording}" if wording else "toy"
    _begin(unfinished, make_store(), name=name, wording=wording)
    message = str(CliRunner().invoke(app, ["sweep", "--store", str(unfinished)]).exception)
    harvest = terminal.command("savs-harvest", "run", "--model", "m", "--store", unfinished, *said)
    assert f"finish it with: {harvest} and the options" in message
    assert "rm -rf" not in message


def _begin(path, like, **benchmark):
    """Begin a model in a new store and finish none of its shards."""
    from savs_stores import HeadTable
    from savs_stores.write import add_model, create_store

    create_store(path, replace(like.benchmark, **benchmark), like.samples)
    heads = HeadTable.from_layers([(0, 4, 4)])
    add_model(path, "m", {"model": "m"}, heads, {"command": COMMAND})


WRITERS = {
    "sweep": ["sweep", "--store", "STORE", "--out"],
    "study": ["study", "demo", "--store", "STORE", "--out"],
    "demo": ["demo", "--store", "STORE", "--out"],
    "report": ["report", "RESULTS", "--out"],
    "figures": ["figures", "RESULTS", "--out"],
    "transfer": ["transfer", "--store", "STORE", "--out"],
    "projection": ["projection", "--store", "STORE", "--out"],
}


@pytest.mark.parametrize(
    "place", ["x.zarr", "x.zarr/m", "x.zarr/new/deep.svg", "x.zarr/../x.zarr/new.svg", "link/new.svg"]
)
@pytest.mark.parametrize("writer", WRITERS)
def test_nothing_is_written_into_a_store(writer, place, hostile):
    link = hostile / "link"
    link.is_symlink() or link.symlink_to(hostile / "x.zarr")
    before = sorted((hostile / "x.zarr").rglob("*"))
    names = {"STORE": str(hostile / "x.zarr"), "RESULTS": str(hostile / "out")}
    result = CliRunner().invoke(app, [*(names.get(word, word) for word in WRITERS[writer]), str(hostile / place)])
    assert isinstance(result.exception, ValueError)
    assert "results would break it, name another place with --out" in str(result.exception)
    assert sorted((hostile / "x.zarr").rglob("*")) == before


DRAWN = [("report", "html"), ("figures", "svg"), ("figures", "png"), ("projection", "pdf")]


@pytest.mark.parametrize(("writer", "ending"), DRAWN)
def test_pages_and_figures_replace_only_their_own(writer, ending, hostile, tmp_path):
    names = {"STORE": str(hostile / "x.zarr"), "RESULTS": str(hostile / "out")}
    more = (
        ["--shots", "5", "--task", next(iter(open_store(hostile / "x.zarr").benchmark.tasks))]
        if writer == "projection"
        else []
    )
    words = [*(names.get(word, word) for word in WRITERS[writer]), str(tmp_path / f"mine.{ending}"), *more]
    for _ in range(2):
        invoke(*words)
    for each in tmp_path.iterdir():
        each.write_bytes(b"<title>mine</title> savs")
    result = CliRunner().invoke(app, words)
    assert "was not written by savs" in str(result.exception)
    assert {each.read_bytes() for each in tmp_path.iterdir()} == {b"<title>mine</title> savs"}


@pytest.mark.parametrize("command", [*READERS, "report", "figures", "audit"])
@pytest.mark.parametrize("within", ["", "/m"])
def test_a_store_is_no_folder_of_results(command, within, hostile):
    store = hostile / "x.zarr"
    result = CliRunner().invoke(app, [command, f"{store}{within}"])
    assert isinstance(result.exception, FileNotFoundError)
    hint = str(result.exception).partition("is a store, not a folder of results; sweep it first: ")[2]
    assert hint == terminal.command("savs-analyze", "sweep", "--store", store, "--out", "results/x")
    assert sorted(path.name for path in store.iterdir() if path.name.startswith(("cells", "run", "rows"))) == []


def test_what_the_hint_says_works(hostile, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["table", str(hostile / "x.zarr")])
    words = shlex.split(str(result.exception).partition("sweep it first: ")[2])
    invoke(*words[1:], *SMALL)
    assert not obeyed(invoke("table", "results/x"))
    assert invoke("verify", hostile / "x.zarr").endswith("is sound\n")

"""Names are text everywhere: no markup, no formula, no command, whatever benchmarks, tasks and classes are called."""

import csv
import html
import io
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import (
    LatexCharsNode,
    LatexEnvironmentNode,
    LatexGroupNode,
    LatexMacroNode,
    LatexMathNode,
    LatexSpecialsNode,
    LatexWalker,
)
from typer.testing import CliRunner

from savs_analyze.cli.commands import app
from savs_analyze.cli.options import TableFormat
from savs_analyze.cli.printing import print_rows
from savs_stores import BenchmarkInfo, write_store

NAMES = ["[/red]", "leaves [v1]", "$a_{b$", "group_accuracy", "Art_Style", "100% & #1 {x} ~ ^ \\", "*", "a < b | c > d"]
RULES = ("toprule", "midrule", "bottomrule")


def cells_of(latex):
    """Return the cells of a LaTeX table as texts, line by line; what LaTeX would not set as text is an error.

    pylatexenc parses strictly: braces and dollars pair up. What it lets through and LaTeX does not is looked for here:
    bare _ ^ #, a line end with an option, and formulas, which no name of ours is.
    """
    assert not re.search(r"\\\\\s*[\[*]", latex), "the next line begins as an option of the line end before it"
    [table] = LatexWalker(latex, tolerant_parsing=False).get_latex_nodes()[0][:1]
    assert isinstance(table, LatexEnvironmentNode)
    lines, cell = [[]], ""
    for node in table.nodelist:
        check_node(node)
        if isinstance(node, LatexSpecialsNode) and node.specials_chars == "&":
            lines[-1].append(cell)
            cell = ""
        elif isinstance(node, LatexMacroNode) and node.macroname == "\\":
            lines[-1].append(cell)
            lines.append([])
            cell = ""
        elif not (isinstance(node, LatexMacroNode) and node.macroname in RULES):
            cell += node.latex_verbatim()
    return [[text_of(cell) for cell in line] for line in lines if line]


def text_of(cell):
    """Return the text that LaTeX sets; pylatexenc knows no sign for these, and another circumflex."""
    for macro, sign in (("less", "<"), ("greater", ">"), ("bar", "|"), ("degree", "°")):
        cell = cell.replace(f"\\text{macro}{{}}", sign)
    return LatexNodes2Text(strict_latex_spaces=True).latex_to_text(cell).strip().replace("ˆ", "^")  # noqa: RUF001


def check_node(node):
    assert not isinstance(node, LatexMathNode), node.latex_verbatim()
    if isinstance(node, LatexCharsNode):
        assert not set("_^#<>|") & set(node.chars), node.chars
    if isinstance(node, LatexSpecialsNode):
        assert node.specials_chars != "~"
    for child in node.nodelist if isinstance(node, LatexGroupNode) else ():
        check_node(child)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A sweep of stores called so, whose tasks and classes are called so too."""
    folder, generator = tmp_path_factory.mktemp("named"), np.random.default_rng(0)
    stores = []
    for number, name in enumerate(NAMES[:6]):
        tasks = {f"task {name}": sorted(NAMES), f"{name}": sorted(NAMES[:3])}
        labels = [(task, label) for task, of in tasks.items() for label in of * 12]
        stores.append(folder / f"{number}.zarr")
        write_store(
            stores[-1],
            benchmark=BenchmarkInfo(name, tasks),
            samples={
                "task": [task for task, _ in labels],
                "label": [label for _, label in labels],
                "split": [("pool", "test")[place // 12 % 2] for place in range(len(labels))],
                "image_path": [f"{name}/{place}.png" for place in range(len(labels))],
                "question": [name] * len(labels),
            }
            | {"split": generator.permuted(np.tile(["pool", "test"], len(labels) // 2 + 1))[: len(labels)].tolist()},
            model="m",
            heads=generator.normal(size=(len(labels), 2, 3, 4)),
        )
    words = [word for store in stores for word in ("--store", store)]
    printed("sweep", *words, "--out", folder / "out", "--shots", 2, "--draws", 2, "--k", "1:2:1")
    return folder / "out"


def printed(*words):
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


TABLES = ["table", "compare", "hyperparameters", "stability"]


@pytest.mark.parametrize("command", TABLES)
def test_latex_is_parsed_and_says_the_names(named, command):
    rows = cells_of(printed(command, named, "--format", "latex"))
    assert len({len(row) for row in rows}) == 1
    if command != "hyperparameters":  # which has no lines here, and says no benchmark
        assert {row[rows[0].index("benchmark")] for row in rows[1:]} == set(NAMES[:6])
    if command == "table":
        assert {f"task {name}" for name in NAMES[:6]} <= {row[rows[0].index("task")] for row in rows[1:]}


def test_latex_says_the_cells_of_any_table(capsys):
    table = pd.DataFrame(dict.fromkeys(NAMES, NAMES))
    print_rows(table, TableFormat.latex, table, [])
    assert cells_of(capsys.readouterr().out) == [NAMES, *([name] * len(NAMES) for name in NAMES)]


@pytest.mark.parametrize("bad", ["a_b & c \\\\", "a & $b$ \\\\", "a \\\\ \n[b] \\\\", "a ~ b \\\\", "a < b \\\\"])
def test_the_check_finds_what_latex_would_not_set(bad):
    with pytest.raises(AssertionError):
        cells_of(f"\\begin{{tabular}}{{ll}}\n{bad}\n\\end{{tabular}}\n")


def words_of(text):
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("command", [*TABLES, "answers"])
def test_terminals_csv_and_json_say_the_names(named, command):
    table = words_of(printed(command, named))
    rows = json.loads(printed(command, named, "--format", "json"))
    by_csv = list(csv.DictReader(io.StringIO(printed(command, named, "--format", "csv"))))
    assert len(rows) == len(by_csv)
    if command == "hyperparameters":
        return
    assert list(dict.fromkeys(row["benchmark"] for row in rows)) == NAMES[:6]
    assert list(dict.fromkeys(row["benchmark"] for row in by_csv)) == NAMES[:6]
    shown = NAMES[:1] if command == "answers" else NAMES[:6]  # the first answers alone
    assert all(words_of(name) in table for name in shown)


def test_markdown_keeps_its_columns(named):
    lines = [line for line in printed("table", named, "--format", "markdown").splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_the_report_says_the_names_and_is_one_page(named):
    printed("report", named)
    page = (named / "report.html").read_text()
    text = html.unescape(re.sub(r"<[^>]+>", "\n", page))
    assert all(name in text for name in NAMES)
    assert not re.search(r"<(b|i|small)> c", page)
    assert page.count("<html") == page.count("</html>") == 1


def test_figures_say_the_names_and_are_xml(named):
    for path in printed("figures", named).split():
        text = "".join(ElementTree.parse(path).getroot().itertext())
        assert all(words_of(name) in words_of(text) for name in NAMES[:6])

"""The documentation cannot lie: what it names exists, what exists is named."""

import re
from pathlib import Path

import pytest
import typer

from savs_analyze.cli.commands import app as analyze
from savs_analyze.report.notes import INDISTINCT
from savs_benchmarks import BENCHMARKS
from savs_harvest.cli.commands import app as harvest
from savs_harvest.models.specs import MODELS
from savs_stores import Status
from savs_stores.format.schema import HEADS, PER_HEAD, PER_SAMPLE, PER_SHARD, TABLE, TEXTS

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("[a-z]*/README.md"))]
APPS = {"savs-analyze": typer.main.get_command(analyze), "savs-harvest": typer.main.get_command(harvest)}


def commands(command, path=()):
    """Yield (words, command) of every command that can be run."""
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


ALL = [(app, words, command) for app, root in APPS.items() for words, command in commands(root)]


@pytest.mark.parametrize(("app", "words", "command"), ALL, ids=lambda value: str(value)[:40])
def test_every_command_and_option_has_help(app, words, command):
    assert command.help
    assert [option.name for option in command.params if not getattr(option, "help", None)] == []


@pytest.mark.parametrize(("app", "words", "command"), ALL, ids=lambda value: str(value)[:40])
def test_every_command_is_in_its_readme(app, words, command):
    readme = (ROOT / app.removeprefix("savs-") / "README.md").read_text()
    assert " ".join(words) in readme


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_command_in_a_readme_can_be_run(readme):
    known = {(app, words): {o for p in command.params for o in p.opts} for app, words, command in ALL}
    known["savs-harvest", ("fit",)] |= known["savs-harvest", ("run",)]  # which it runs
    for app, line in re.findall(r"(savs-(?:harvest|analyze)) ([^`\n|]+)", readme.read_text()):
        found = [words for name, words in known if name == app and line.split()[: len(words)] == list(words)]
        assert found, f"{app} {line}"
        unknown = set(re.findall(r"--[a-z-]+", line)) - known[app, found[0]] - {"--help"}
        assert not unknown, f"{app} {line}"


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_link_in_a_readme_leads_somewhere(readme):
    for target in re.findall(r"\]\(([^)#]+)\)", readme.read_text()):
        assert target.startswith("http") or (readme.parent / target).exists(), target


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_make_target_in_a_readme_exists(readme):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b(?! it)", readme.read_text())) - {"alone"} <= targets


def test_the_format_names_every_array_and_status():
    text = (ROOT / "stores" / "README.md").read_text()
    tree = text[text.index("## What lies where") : text.index("## The root group")]
    for name, spec in {**TABLE, **TEXTS, **PER_SAMPLE, **PER_HEAD, "heads": HEADS, **PER_SHARD}.items():
        assert name in tree
        assert f"[{', '.join(spec.axes)}]" in tree
    for status in Status:
        assert f"| {int(status)} | {status.name} |" in text


def test_the_lists_name_everything():
    listed = (ROOT / "benchmarks" / "README.md").read_text()
    assert [name for name in BENCHMARKS if f"`{name}`" not in listed] == []
    listed = (ROOT / "harvest" / "README.md").read_text()
    assert [name for name in MODELS if f"`{name}`" not in listed] == []


# In benchmarks a file is a benchmark, and those are listed by name; an embedded model is one entry.
@pytest.mark.parametrize("package", ["stores", "analyze", "harvest"])
def test_every_file_is_in_its_readme(package):
    readme = (ROOT / package / "README.md").read_text()
    every = (ROOT / package).glob("savs_*/**/*.py")
    files = [p.name for p in every if not p.name.startswith("__") and {"tiny", "tiny_clip"}.isdisjoint(p.parts)]
    assert [name for name in files if f"`{name}`" not in readme] == []


def test_the_output_in_the_readme_says_what_a_degree_sign_means():
    assert INDISTINCT.format(same="") in (ROOT / "README.md").read_text().splitlines()

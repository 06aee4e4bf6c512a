"""Small faults put into the arithmetic, one at a time: the tests beside it must see each of them. make mutants

Writes docs/mutants.md. A mutant that changes nothing anybody can observe stands in tests/equivalent_mutants.toml.
"""

from __future__ import annotations

import argparse
import ast
import copy
import datetime
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("analyze", "benchmarks", "harvest", "savs", "stores")
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
PAGE = ROOT / "docs" / "mutants.md"
SECONDS = 150  # of processor time; no neighbouring tests take half of it
HEADING = """# Mutants

{date}. `make mutants` makes this page: a small fault is put into a line of source (another operator or comparison, a
constant one higher or lower, `not` left out, `max` for `min`, a slice without its bound), and the tests beside that
floor run until one fails. {sample}

| floor | mutants | killed | share | equivalent | alive |
|---|---|---|---|---|---|
{rows}
"""


@dataclass(frozen=True)
class Floor:
    """A floor of a package: its sources, and the tests beside it."""

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]


def of_analysis(name: str, *tests: str) -> Floor:
    return Floor(f"analyze {name}", (f"analyze/savs_analyze/{name}",), tuple(f"tests/analyze/{test}" for test in tests))


FLOORS = (
    of_analysis("measure", "measure"),
    of_analysis("votes", "votes"),
    of_analysis("parts", "votes", "methods"),  # what scores are worth shows in a method
    of_analysis("draws", "draws"),
    Floor("stores format", ("stores/savs_stores/format",), ("tests/stores/format",)),
    Floor(
        "harvest batches",
        tuple(f"harvest/savs_harvest/batches/{name}.py" for name in ("plan", "layouts", "packing")),
        ("tests/harvest/batches",),
    ),
)

OTHER = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "argmin": "argmax", "argmax": "argmin", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is, the lines as they are and as they become, and the whole source with it."""

    floor: str
    file: str
    number: int
    line: str
    becomes: str
    source: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        return self.file, self.line, self.becomes


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the node with one fault."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in OTHER:
        yield changed(node, op=OTHER[type(node.op)]())
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            yield changed(node, ops=[*node.ops[:place], OTHER[type(operator)](), *node.ops[place + 1 :]])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        yield node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield changed(node, value=not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield from (changed(node, value=node.value + step) for step in (1, -1))
    if isinstance(node, ast.Name) and node.id in NAMES:
        yield changed(node, id=NAMES[node.id])
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield changed(node, attr=NAMES[node.attr])
    if isinstance(node, ast.Slice):
        yield from (changed(node, **{bound: None}) for bound in ("lower", "upper") if getattr(node, bound))


def changed(node: ast.AST, **fields: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def computed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all that is computed below a node: no types, decorators, texts or errors."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise | ast.JoinedStr):
                yield from computed(child)


def mutants_of(floor: str, file: str) -> list[Mutant]:
    """Return every mutant of a file, in the order of its lines."""
    source = (ROOT / file).read_bytes()
    lines = source.splitlines(keepends=True)
    found = []
    for node in computed(ast.parse(source)):
        for variant in variants(node):
            first, last = node.lineno - 1, node.end_lineno - 1
            before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
            bare = isinstance(node, ast.AugAssign | ast.Slice)
            text = before + f"{'' if bare else '('}{ast.unparse(variant)}{'' if bare else ')'}".encode() + after
            whole = b"".join([*lines[:first], text, *lines[last + 1 :]])
            line, becomes = (" ".join(part.decode().split()) for part in (b"".join(lines[first : last + 1]), text))
            found.append(Mutant(floor, file, node.lineno, line, becomes, whole))
    return sorted(found, key=lambda mutant: mutant.number)


def mutants_on(floor: Floor) -> list[Mutant]:
    paths = [ROOT / source for source in floor.sources]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    return [mutant for file in files for mutant in mutants_of(floor.name, file.relative_to(ROOT).as_posix())]


def make_copy() -> None:
    """Give this process a copy of the sources and tests, where it changes one file at a time."""
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    for name in (*FOLDERS, "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    os.chdir(folder)


def run_tests(tests: list[str]) -> int:
    """Return what pytest says of tests in a process of their own, forked from this one, which has imported numpy."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.path[:0] = [str(Path(name).resolve()) for name in FOLDERS]
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-W", "ignore:Module already imported"]
        code = int(pytest.main([*options, *tests]))
    finally:
        os._exit(code)


def neighbours(floor: str, file: str) -> list[str]:
    """Return the tests of the floor, those named as the file first."""
    [folders] = [one.tests for one in FLOORS if one.name == floor]
    tests = [str(test) for folder in folders for test in sorted(Path(folder).rglob("test_*.py"))]
    return sorted(tests, key=lambda test: Path(file).stem not in test)


def is_sound(floor: str) -> bool:
    """Tell whether the tests beside a floor pass without a fault: else they would kill every mutant."""
    return run_tests(neighbours(floor, "")) == 0


def is_killed(mutant: Mutant) -> bool:
    """Tell whether a test beside it fails, or does not come to an end, with the fault."""
    file = Path(mutant.file)
    sound = file.read_bytes()
    file.write_bytes(mutant.source)
    try:
        return run_tests(neighbours(mutant.floor, mutant.file)) != 0
    finally:
        file.write_bytes(sound)


def import_what_is_not_ours() -> None:
    """Import once what every test would import again, but nothing of ours: it is instrumented where it is imported."""
    sys.dont_write_bytecode = True  # of two mutants of one second and one size the second would not be compiled
    import hypothesis.extra.numpy  # noqa: F401
    import jaxtyping  # noqa: F401
    import pandas  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch
    import transformers  # noqa: F401
    import zarr  # noqa: F401

    torch.set_num_threads(1)


def known_equivalent() -> set[tuple[str, str, str]]:
    entries = tomllib.loads(EQUIVALENT.read_text())["mutant"]
    return {(entry["file"], entry["line"], entry["becomes"]) for entry in entries if entry["reason"]}


def chosen(options: argparse.Namespace) -> tuple[list[Mutant], Counter]:
    """Return the mutants to try and how many of each floor there are; of the equivalent ones none is tried."""
    equivalent, tried, skipped = known_equivalent(), [], Counter()
    for floor in FLOORS:
        if options.floor not in floor.name:
            continue
        of_floor = [mutant for mutant in mutants_on(floor) if options.match in mutant.line]
        if not options.all and len(of_floor) > options.sample:
            of_floor = random.Random(options.seed).sample(of_floor, options.sample)
        skipped[floor.name] = sum(mutant.key in equivalent for mutant in of_floor)
        tried += [mutant for mutant in of_floor if mutant.key not in equivalent]
    return tried, skipped


def write_page(results: list[tuple[Mutant, bool]], skipped: Counter, sample: str) -> None:
    total, killed = (Counter(m.floor for m, dead in results if dead or not wanted) for wanted in (False, True))
    rows = [
        f"| {name} | {total[name]} | {killed[name]} | {killed[name] / total[name]:.0%} | {skipped[name]} "
        f"| {total[name] - killed[name]} |"
        for name in total
    ]
    share = total.total() and killed.total() / total.total()
    rows.append(
        f"| all | {total.total()} | {killed.total()} | {share:.0%} | {skipped.total()} "
        f"| {total.total() - killed.total()} |"
    )
    page = HEADING.format(date=datetime.datetime.now(tz=datetime.UTC).date(), sample=sample, rows="\n".join(rows))
    alive = [f"- `{m.file}`, line {m.number}: `{m.line}` becomes `{m.becomes}`" for m, dead in results if not dead]
    PAGE.write_text(page + ("\nAlive:\n\n" + "\n".join(alive) + "\n" if alive else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every mutant, which takes hours")
    parser.add_argument("--sample", type=int, default=25, help="mutants of each floor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--floor", default="", help="floors with this in their name; writes no page")
    parser.add_argument("--match", default="", help="lines with this in them; writes no page")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    mutants, skipped = chosen(options)
    import_what_is_not_ours()
    results = []
    with multiprocessing.get_context("fork").Pool(options.jobs, make_copy) as pool:
        floors = sorted({mutant.floor for mutant in mutants})
        if failing := [name for name, fine in zip(floors, pool.map(is_sound, floors), strict=True) if not fine]:
            sys.exit(f"the tests of {', '.join(failing)} fail without any fault: mend them first")
        for mutant, dead in zip(mutants, pool.imap(is_killed, mutants), strict=True):
            results.append((mutant, dead))
            word = "killed" if dead else "ALIVE "
            print(f"{word} {mutant.file}:{mutant.number}: {mutant.line}  ->  {mutant.becomes}", flush=True)
    if not (options.floor or options.match):
        drawn = f"{options.sample} of each floor, drawn with seed {options.seed}; `--all` tries every one."
        write_page(results, skipped, "Every mutant was tried." if options.all else drawn[0].upper() + drawn[1:])


if __name__ == "__main__":
    main()

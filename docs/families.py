"""Every family that transformers maps to pictures and text, on trial: the tables of families.md.

python docs/families.py             a tiny random checkpoint of each, a process each: some ten minutes
python docs/families.py FAMILY ...   these only; of the others what families.json holds

Where torchvision is missing, families that transformers prepares pictures of with nothing else keep what was found of
them in an environment that has it.
"""

import json
import sys
import tempfile
import warnings
from collections import Counter
from datetime import datetime
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from textwrap import shorten

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit.zoo import trial
from kit.zoo.build import EVERY, needs_torchvision
from kit.zoo.trial import ABSENT, EXACT, REFUSED, WRONG
from savs_harvest.models.loading import quiet_libraries

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "families.json"
SECONDS = 180
WAYS = ("batched", "several", "shared", "packed", "layers", "words", "classes")
HEADS = ("family", "layers with heads", "batch", "two", "shared", "packed", "stop", "words", "classes")
SAID = {EXACT: "yes", "": "no"}
INTRODUCTION = """# Families

Every family that transformers {transformers} maps to pictures and text, as a tiny random checkpoint of its default
configuration made small by rules ([`tests/kit/zoo`](../tests/kit/zoo)); `make families` writes this page. Last written
on {date}, with torch {torch}.

{counts}.

**Exact** is a family of which every stored vector, and every log-probability, is what hooks of the test's own see of
the sample alone, in float32. What stands between a family and that is said in the other tables. Real checkpoints are
checked again when they are loaded: the projections, and every way to run samples together.

## Exact

*layers with heads*: by kind, "+ experts" where mixtures of experts follow, "+ n without" for layers that have none.
*batch*: samples padded beside others. *two*: prompts with two pictures. *shared*: questions about one picture as
branches of one row; *packed*: samples in one row without padding; both only where every layer's attention is proven,
when the model is loaded, to see what it should, or a test of ours knows the family. *stop*: the first layers alone
give the same to the bit (yes), the rest not even loaded where the family is known (less). *words*: questions without
a picture. *classes*: class vectors, of words alone. †: transformers prepares its pictures with torchvision only, and
it was tried with {vision}; all others with Pillow, which is taken where both are there.
"""


def tried(family: str) -> dict:
    """Return what came of a family, in a process of its own that may crash or hang."""
    fork = get_context("fork")  # the libraries are loaded once
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=_try, args=(family, there))
    process.start()
    there.close()
    try:
        if not here.poll(SECONDS):
            return {"verdict": REFUSED, "reason": f"its trial takes more than {SECONDS} seconds"}
        return here.recv()
    except EOFError:
        process.join()
        return {"verdict": REFUSED, "reason": f"its trial ends with exit code {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def _try(family: str, there: Connection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            there.send(trial.tried(family, Path(folder)))
        except Exception as error:
            there.send({"verdict": REFUSED, "reason": f"its trial fails: {trial.in_a_line(error)}"})


def torchvision_here(family: str) -> str:
    """Return the versions of what prepares a family's pictures, "" where Pillow does, or torchvision is missing."""
    if not needs_torchvision(family) or not transformers.utils.is_torchvision_available():
        return ""
    return f"torchvision {version('torchvision').split('+')[0]} and torch {torch.__version__.split('+')[0]}"


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def layers(found: dict) -> str:
    """Return the layers with heads of a family in words, by kind."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["kinds"].items())
    without = f" + {found['without']} without" if found["without"] else ""
    return kinds + without + (" + experts" if found["experts"] else "")


def way(name: str, found: dict) -> str:
    """Return what a way to run samples gives, as a cell."""
    given = found["ways"][name]
    if name == "layers":
        return "less" if given == EXACT else "yes" if given == "whole" else given
    return "alone" if given == "one by one" else SAID.get(given, "no")


def notes(found: dict) -> list[str]:
    """Return what is worth knowing of a family: what it does not take, and why; what the harvest says of it."""
    refused = "the model refuses every sample of shard 0: 3: rejected: "
    why = [
        f"{name}: {given[4:].replace(refused, '').removeprefix('rejected: ')}"
        for name, given in found["ways"].items()
        if given.startswith("no: ")
    ]
    return [*why, *found["remarks"]]


def exact_table(results: dict[str, dict]) -> list[str]:
    lines = [row(list(HEADS)), "|---" * len(HEADS) + "|"]
    for family, found in results.items():
        if found["verdict"] == EXACT:
            name = f"{family} †" if found.get("torchvision") else family
            lines.append(row([name, layers(found), *(way(each, found) for each in WAYS)]))
    told = [
        f"- {family}: {shorten(note, 110, placeholder=' ...')}"
        for family, found in results.items()
        if found["verdict"] == EXACT
        for note in notes(found)
    ]
    return [*lines, "", *told]


def reason_table(results: dict[str, dict], verdict: str) -> list[str]:
    lines = [row(["family", "why"]), "|---|---|"]
    for family, found in results.items():
        if found["verdict"] == verdict:
            lines.append(row([family, shorten(found["reason"].replace("|", "\\|"), 110, placeholder=" ...")]))
    return lines


def page(results: dict[str, dict]) -> str:
    """Return the page of all families."""
    counts = Counter(found["verdict"] for found in results.values())
    named = (
        f"Of {len(results)} families, {counts[EXACT]} are exact, {counts[REFUSED]} refused, {counts[ABSENT]} not made"
    )
    vision = " or ".join(sorted({found["torchvision"] for found in results.values() if found.get("torchvision")}))
    lines = [
        INTRODUCTION.format(
            transformers=transformers.__version__,
            torch=torch.__version__.split("+")[0],
            date=f"{datetime.now():%Y-%m-%d}",
            vision=vision or "none so far",
            counts=named,
        ),
        *exact_table(results),
        "",
        "## Refused, with the reason",
        "",
        *reason_table(results, REFUSED),
        "",
        f"## Not instantiable with transformers {transformers.__version__} from a configuration made small",
        "",
        *reason_table(results, ABSENT),
    ]
    if counts[WRONG]:
        lines += ["", "## Wrong", "", *reason_table(results, WRONG)]
    return "\n".join(lines) + "\n"


def main(families: list[str]) -> None:
    """Try the families, all of them where none is named, and write the page of all as it grows."""
    warnings.filterwarnings("ignore")
    quiet_libraries()
    torch.set_num_threads(1)
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    elsewhere = {family for family in EVERY if kept.get(family, {}).get("torchvision") and not torchvision_here(family)}
    results = {family: kept[family] for family in EVERY if family in kept and (families or family in elsewhere)}
    for family in families or [family for family in EVERY if family not in elsewhere]:
        results[family] = tried(family) | {"torchvision": torchvision_here(family)}
        words = results[family]["reason"] or layers(results[family])
        print(f"{family}: {results[family]['verdict']} {shorten(words, 90)}", flush=True)
        ordered = {each: results[each] for each in EVERY if each in results}
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        (ROOT / "docs" / "families.md").write_text(page(ordered), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

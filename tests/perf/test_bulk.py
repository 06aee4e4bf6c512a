"""Commands on 200,000 rows: how long they take, and how much memory, beside what the same commands take of few.

make perf    prints the table and writes docs/bulk-performance.md
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_harvest import processor_name

from savs_harvest.asking.preparing import Preparer, Question
from savs_harvest.models.loading import load_checkpoint
from savs_harvest.models.specs import MODELS

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "bulk-performance.md"
ROWS, PICTURES, FEW, ASKED = 200_000, 2_000, 200, 200
ENTRY = "import sys; sys.argv[0] = 'savs-harvest'; from savs_harvest.cli import entry; entry()"
# The floor of `plan`: the libraries that it cannot do without, and the lines parsed.
FLOOR = (
    "import json, sys, torch; from transformers import AutoImageProcessor, ProcessorMixin; "
    "print(sum(len(json.loads(line)) for line in open(sys.argv[1])))"
)
TEXT = """# Performance on many rows

Measured by `make perf` in one run. {date}, {machine}.

{rows:,} JSON lines, each with a question of its own, about {pictures:,} photographs of 500 x 375 pixels (JPEG). Seconds
and the most memory are those of a process, its start with torch and transformers among them; goals were 15 seconds
and 250 MB. The floor imports torch and what reads processors from transformers, and parses the lines with `json`.

| command | {rows:,} rows | {few} rows | memory, {rows:,} rows | memory, {few} rows |
|---|---|---|---|---|
{table}

The memory of a few rows is that of the libraries: no command that needs them can stay below it. *Again* is with what
pictures hash to, which the first command has kept beside them (`.savs-pictures.sqlite`).

## A picture that several questions share

`tiny`, {asked} questions about one photograph, prepared as the model's input: {once:.1f} ms a question where they come
one after another, {each:.1f} ms where each comes with another photograph, {times:.1f} times as long.
"""


def write_data(folder, rows):
    (folder / "p").mkdir(parents=True)
    generator = np.random.default_rng(0)
    shown = min(rows, PICTURES)
    for number in range(shown):
        small = Image.fromarray(generator.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(folder / "p" / f"{number}.jpg", quality=90)
    words = np.array("is it odd even which digit look carefully , ?".split())
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(rows):
            asked = f"{' '.join(generator.choice(words, 8))} {number}"
            label, split = ("odd", "even")[number % 2], "test" if number % 5 == 0 else "pool"
            row = {"image": f"p/{number % shown}.jpg", "question": asked, "label": label, "split": split}
            file.write(json.dumps(row) + "\n")
    return folder / "rows.jsonl"


def measured(words):
    """Return (seconds, bytes of memory at most) of a command."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0, words
    return time.perf_counter() - started, used.ru_maxrss * 1024


def a_question(files):
    """Return the milliseconds of preparing a question about each file."""
    model = load_checkpoint(MODELS["tiny"], "cpu")
    preparer = Preparer(model.folder, model.model.dtype, (), False, model.processor)
    questions = [Question((file,), f"is it odd ? {number}") for number, file in enumerate(files)]
    preparer.inputs(questions[-1])
    started = time.perf_counter()
    for question in questions:
        preparer.inputs(question)
    return 1000 * (time.perf_counter() - started) / len(questions)


@pytest.mark.perf
def test_commands_on_many_rows(tmp_path):
    many, few = (write_data(tmp_path / name, rows) for name, rows in (("many", ROWS), ("few", FEW)))
    time.sleep(2.5)  # a file that changed a moment ago is not kept
    commands = {
        "floor": lambda file: [FLOOR, file],
        "`plan`": lambda file: [ENTRY, "plan", "--model", "tiny", "--data", file, "--store", tmp_path / "none.zarr"],
        "`data show`": lambda file: [ENTRY, "data", "show", file],
        "`data show`, again": lambda file: [ENTRY, "data", "show", file],
    }
    rows = []
    for name, words in commands.items():
        (slow, large), (quick, small) = (measured(list(map(str, words(file)))) for file in (many, few))
        rows.append(f"| {name} | {slow:.1f} s | {quick:.1f} s | {large / 1e6:,.0f} MB | {small / 1e6:,.0f} MB |")
    shown = sorted((tmp_path / "many" / "p").glob("*.jpg"))[:ASKED]
    once, each = a_question(shown[:1] * ASKED), a_question(shown)
    machine = f"{os.cpu_count()} cores ({processor_name()}), Python {platform.python_version()}"
    text = TEXT.format(
        date=datetime.date.today(), machine=machine, rows=ROWS, pictures=PICTURES, few=FEW, table="\n".join(rows),
        asked=ASKED, once=once, each=each, times=each / once,
    )  # fmt: skip
    print(text)
    DOCUMENT.write_text(text)

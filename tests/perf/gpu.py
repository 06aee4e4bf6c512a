"""A harvest on a GPU, measured against the papers' way and against what the device can do.

make perf-gpu                  the papers' 7B shapes; writes docs/harvest-gpu.md
make perf-gpu SCALE=small      the 0.5B and 2B shapes, for smaller GPUs
"""

import argparse
import datetime
import gc
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1]))  # the tests' tokenizer and processors are in kit
from cells import Cell
from devices import find_device, product_rate
from inputs import INPUTS, Input
from records import Records
from rounding import describe
from shapes import SHAPES, build, weights_bytes

from savs_harvest.models.loading import quiet_libraries
from savs_harvest.run.settings import Settings, default_workers

ROOT = Path(__file__).parents[2]
# A model is run where so many times its weights are free: the rest is what a batch needs.
ROOM = 1.25
HEAD = """# Harvest on a GPU

Written by `make perf-gpu`. {date}, {machine}, torch {torch}, {dtype}. Products of matrices reach {rate:,.4g} TFLOP/s
here: the floor under every time below. Random weights in the exact shapes of the models; pictures and prompts of the
sizes and numbers of the benchmarks they are named after, made from a seed.

*Papers' way*: one sample at a time, input and output of every output projection kept for all tokens, all logits,
three passes over {support} of {official} samples to learn from them; nothing is written. *Harvest*: pictures decoded
and hashed, samples prepared, run, and written to a store; counted from the end of the first batch, when all processes
have started, and once more from the command. *Limit*: what the operations of single prompts allow at the product
rate, attention inside the vision tower not counted; pictures that questions share allow more. *Model alone*: inputs
ready, nothing written. *Idle*: the share of the clock in which no kernel runs, by the profiler over a few batches; of
the harvest, from the same busy time. Memory is above the loaded model: where it is bounded, N and 2N samples take the
same.
"""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how much of it.

    Short runs take so many `tokens`, the main one twice as many. After `seconds` nothing new is begun.
    """

    scale: str = "7b"
    device: str = "cuda"
    dtype: torch.dtype = torch.bfloat16
    tokens: int = 64_000
    budgets: tuple[int, ...] = (1_024, 4_096, 32_768)
    official: tuple[int, int] = (4, 20)
    singles: int = 48
    observed: int = 4
    seconds: float = 540.0
    product: tuple[int, int, int] = (16_384, 3_584, 18_944)
    inputs: tuple[Input, ...] = INPUTS


class Session:
    """Steps one after another: what fails or comes too late is noted, and the next one runs."""

    def __init__(self, plan, device, records, rate):
        self.plan, self.device, self.records, self.rate = plan, device, records, rate
        self.started = self.deadline = time.monotonic()
        self.failures = 0

    def allow(self, share):
        """Let what follows begin until this share of the time is up: no model takes that of the next."""
        self.deadline = self.started + share * self.plan.seconds

    def step(self, name, work):
        """Return what the work gives, None where there is no time for it or it fails."""
        if time.monotonic() > self.deadline:
            self.records.note(f"{name}: no time was left")
            return None
        try:
            return work()
        except Exception as error:
            traceback.print_exc()
            self.failures += 1
            self.records.note(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        gc.collect()  # only here, where the failed call is gone
        return None


def measure(plan, records, folder):
    """Measure everything of the plan; return how many steps failed."""
    device = find_device(plan.device)
    session = Session(plan, device, records, product_rate(device, plan.dtype, *plan.product))
    records.head = head(plan, device, session.rate)
    shapes = SHAPES[plan.scale]
    for number, shape in enumerate(shapes):
        session.allow((number + 1) / len(shapes))
        needed, free = ROOM * weights_bytes(shape, plan.dtype), device.free_bytes()
        if needed > free:
            records.note(
                f"{shape.name}: {needed / 1e9:.0f} GB are needed, {free / 1e9:.0f} GB are free: "
                "take smaller shapes with SCALE=small"
            )
            continue
        place = folder / str(number)
        loaded = session.step(shape.name, lambda s=shape, p=place: build(s, plan.device, plan.dtype, p / "processor"))
        for kind in plan.inputs if loaded else ():
            measure_cell(session, loaded, kind, place / kind.name, compiles=kind is plan.inputs[0])
        del loaded
        gc.collect()
    return session.failures


def head(plan, device, rate):
    return HEAD.format(
        date=datetime.date.today(),
        machine=device.name,
        torch=torch.__version__,
        dtype=str(plan.dtype).removeprefix("torch."),
        rate=rate / 1e12,
        support=plan.official[0],
        official=sum(plan.official),
    )


def measure_cell(session, loaded, kind, folder, compiles):
    """Measure a model on an input, what matters most first."""
    name = f"{loaded.name}, {kind.name}"
    cell = session.step(name, lambda: make_cell(session, loaded, kind, folder))
    if cell is None:
        return
    add = partial(session.records.add, model=loaded.name, given=kind.name)
    session.step(f"{name}, papers' way", lambda: measure_official(session, cell, add))
    speed = session.step(f"{name}, harvest", lambda: measure_harvest(cell, add))
    session.step(f"{name}, harvest without workers", lambda: measure_without_workers(cell, add))
    kept = {}
    for setting, settings in ablations(session.plan, kind, compiles).items():
        session.step(
            f"{name}, {setting}", lambda s=settings, n=setting: measure_setting(session, cell, add, n, s, kept)
        )
    session.step(f"{name}, idle", lambda: measure_idle(session, cell, add, speed))
    session.step(f"{name}, rounding", lambda: measure_rounding(session, cell, add, kept))
    shutil.rmtree(folder)


def make_cell(session, loaded, kind, folder):
    """Return the cell with as many samples as make the tokens of the plan, and tell what its prompts allow."""
    few = Cell(loaded, kind, session.device, folder / "few", 8)
    tokens = np.mean([total for total, _ in few.lengths])
    count = max(sum(session.plan.official), 2 * round(session.plan.tokens / tokens / 2))
    cell = Cell(loaded, kind, session.device, folder, count)
    operations = np.mean([cell.cost.of(*length) for length in cell.lengths])
    session.records.add(
        "harvest",
        loaded.name,
        kind.name,
        tokens=float(np.mean([total for total, _ in cell.lengths])),
        limit=session.rate / operations,
    )
    return cell


def measure_official(session, cell, add):
    found = cell.official(*session.plan.official)
    add("harvest", official=found["speed"])
    add("device", memory_official=found["memory"])


def measure_harvest(cell, add):
    """Return the speed of the main run, with the processes that a harvest has by itself."""
    found = cell.harvest(cell.double, Settings(workers=default_workers(cell.loaded.device)))
    add("harvest", steady=found["steady"], speed=found["speed"])
    add("device", memory_double=found["memory"], samples=cell.samples)
    return found["steady"]


def measure_without_workers(cell, add):
    found = cell.harvest(cell.single, Settings(workers=0))
    add("harvest", workers_0=found["steady"])
    add("device", memory=found["memory"], prepared=cell.prepared[1])


def ablations(plan, kind, compiles):
    """Return settings by name: the default ones, then one changed each."""
    found = {"default": Settings()}
    found |= {f"{budget:,} tokens a batch": Settings(token_budget=budget) for budget in plan.budgets}
    found["packed"] = Settings(pack=True)
    if kind.questions > 1:
        found["pictures not shared"] = Settings(share=False)
    if compiles:
        found["compiled"] = Settings(compile=True)
    return found


def measure_setting(session, cell, add, name, settings, kept):
    """Measure the model alone under one setting; the first samples' vectors are kept by its name."""
    found = cell.run(settings)
    speed = found.speed(session.rate)
    kept[name] = found.vectors[: session.plan.singles]
    add("ablation", setting=name, **speed, memory=found.memory, halved=found.halved)
    if name == "default":
        add("device", alone=speed["speed"], share=speed["share"])


def measure_idle(session, cell, add, speed):
    idle, seconds_an_operation = cell.busy(Settings(), session.plan.observed)
    add("device", idle=idle)
    if speed:
        of_harvest = seconds_an_operation * cell.mean_operations * speed
        add("device", idle_harvest=1 - of_harvest)


def measure_rounding(session, cell, add, kept):
    alone = cell.alone(session.plan.singles)
    labels = np.array([sample.label for sample in cell.single.samples()][: len(alone)])
    for layout in ("default", "packed"):
        if layout in kept:
            add("rounding", layout=layout, **describe(alone, kept[layout], labels))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SHAPES, default=Plan.scale, help="which shapes")
    parser.add_argument("--device", default=Plan.device, choices=["cuda", "cpu"])
    parser.add_argument(
        "--tokens", type=int, default=Plan.tokens, help="tokens of a short run; twice as many in the main one"
    )
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="when nothing new is begun any more")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "harvest-gpu.md", help="the tables")
    parser.add_argument(
        "--log", type=Path, default=ROOT / "results" / "harvest-gpu.jsonl", help="every record as it comes"
    )
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU on this machine")
    quiet_libraries()
    product = Plan.product if asked.device == "cuda" else (512, 512, 512)
    plan = Plan(asked.scale, asked.device, tokens=asked.tokens, seconds=asked.seconds, product=product)
    records = Records(asked.log, asked.out)
    with tempfile.TemporaryDirectory() as folder:
        failures = measure(plan, records, Path(folder))
    print(f"\n{records.text()}\n{asked.out}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

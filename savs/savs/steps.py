"""The two steps with plain keywords: harvest a benchmark into a store, sweep stores into findings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.extras import needing_harvest
from savs.model import Model, load_model

if TYPE_CHECKING:
    from savs_analyze.draws.validation import Validation
    from savs_analyze.findings.findings import Findings
    from savs_benchmarks import Benchmark
    from savs_stores import Store

Grid = Mapping[str, Sequence[int] | Sequence[float]]


def harvest(
    model: str | Model,
    data: str | Path | Benchmark,
    store: str | Path | None = None,
    *,
    question: str = "",
    name: str | None = None,
    wording: str = "default",
    **settings: Any,
) -> Store:
    """Run a model over a benchmark and return the opened store, by default `stores/NAME.zarr`; resumes by itself.

    `data` is a folder of pictures or a table of your own, of which `question` is asked, the name of a benchmark whose
    files are here, or a benchmark (from `savs_benchmarks.load_own`, for instance); `name` is that of the model in
    the store, `wording` how a benchmark's question is put. `settings` are those of
    `savs_harvest.run.settings.Settings`. Samples that failed are in the store's `status`; what the command warns of is
    warned of. Raises `ModelError`, `BenchmarkError`, `MismatchError` as the command does.
    """
    with needing_harvest("harvest"):
        from savs_harvest.run.harvest import harvest as run
        from savs_harvest.run.listener import Listener
        from savs_harvest.run.settings import Settings
        from savs_harvest.run.writing import Keeping
    from savs_benchmarks import Reading, find_benchmark
    from savs_benchmarks.wordings import worded
    from savs_stores import open_store

    if isinstance(data, str | Path):
        benchmark = find_benchmark(str(data), reading=Reading(question=question), wording=wording)
    else:
        benchmark = worded(data, wording)
    place = store or f"stores/{benchmark.name}.zarr"
    loaded = (model if isinstance(model, Model) else load_model(model)).loaded
    listener = Listener(warning=warnings.warn)
    run(loaded, benchmark, place, Settings(**settings), Keeping(name), listener=listener)
    return open_store(place)


def sweep(
    stores: str | Path | Sequence[str | Path],
    *,
    methods: Sequence[str] | None = None,
    heads: int | Sequence[int] = 20,
    grid: Grid | None = None,
    models: Sequence[str] = (),
    shots: int | Sequence[int] = 20,
    draws: int = 5,
    validation: float | Validation = 0.25,
    jobs: int | None = 1,
    out: str | Path | None = None,
    **more: Any,
) -> Findings:
    """Run methods over stores and return what was found; finished cells in `out` are kept, so a second call is fast.

    `methods` are by default zero-shot, savs and kernel-ridge. `out` is a folder, by default `results/STORE`. `more` are
    the other fields of `savs_analyze.runs.request`; `found`, the heads of other tasks, is also a file of theirs.
    Raises ValueError and `StoreError` as the command does.
    """
    from savs_analyze.draws.validation import Validation
    from savs_analyze.findings.findings import Findings
    from savs_analyze.methods.recipes import DEFAULT
    from savs_analyze.runs.found_heads import FoundHeads
    from savs_analyze.runs.request import Ask, Data, Execution
    from savs_analyze.runs.sweep import expand
    from savs_analyze.runs.sweep import sweep as run

    found = expand([str(one) for one in ([stores] if isinstance(stores, str | Path) else stores)])
    folder = Path(out) if out else Path("results") / (Path(found[0]).stem if len(found) == 1 else "sweep")
    of_ask, of_data, of_execution = (
        {name: more.pop(name) for name in [*more] if name in kind.__dataclass_fields__}
        for kind in (Ask, Data, Execution)
    )
    if more:
        raise TypeError(f"sweep has no {', '.join(sorted(more))}")
    if isinstance(file := of_ask.get("found"), str | Path):
        of_ask["found"] = FoundHeads.read(Path(file))
    chosen = validation if isinstance(validation, Validation) else Validation(validation)
    ks = [heads] if isinstance(heads, int) else heads
    run(
        Ask(DEFAULT if methods is None else methods, ks, grid or {}, **of_ask),
        Data(found, models, shots, draws, chosen, **of_data),
        Execution(folder, jobs, **of_execution),
        command="savs.sweep",
    )
    return Findings.of_folder(folder)

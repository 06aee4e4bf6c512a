"""Run models over benchmarks."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs_harvest import DATE
from savs_harvest.cli.chosen import OFFICIAL, Choice, add_benchmarks, choosing, default_store
from savs_harvest.cli.options import (
    SITE,
    AdapterOption,
    DataOption,
    DeviceMapOption,
    DtypeOption,
    IncludeOption,
    ModelOption,
    NameOption,
    QuantizeOption,
    RevisionOption,
    ShardOption,
    SiteOption,
    StoreOption,
)
from savs_harvest.cli.resume import resume_command
from savs_stores import terminal

if TYPE_CHECKING:
    from savs_benchmarks import Benchmark
    from savs_harvest.run.report import Report

# What commands that run this one leave for it: a benchmark in place of what --data names, a last look before the
# model; and what they find afterwards: where the vectors are.
BENCHMARK, BEFORE_MODEL, HARVESTED = "savs benchmark", "savs before the model", "savs harvested"
DEMO, DEMO_MODELS = ("digits", "digits-claims", "digits-pairs", "digits-compare"), ("tiny", "tiny-clip")
DEMO_OUT, DEMO_CLASSIFIER, DEMO_PICTURES = Path("results/demo"), "digits", 60
# What is said of a task whose answers are not told apart by their first token, see `savs_harvest.models.answers`.
UNUSUAL = {
    "whole answer": "no single token tells its answers apart, so whole answers are scored",
    "none": "nothing tells its answers apart, so it has no zero-shot logits",
}


def _sorted(words: list[str] | None) -> list[str]:
    """Return each word once: their order says nothing."""
    return sorted(set(words or ()))


@choosing
def run(
    context: typer.Context,
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    chosen: Choice = OFFICIAL,
    name: NameOption = None,
    dtype: DtypeOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    device_map: DeviceMapOption = None,
    revision: RevisionOption = None,
    adapter: AdapterOption = None,
    quantize: QuantizeOption = None,
    site: SiteOption = SITE,
    batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="Padded tokens a batch may hold; default: 16384 on a GPU, 1024 without.")
    ] = None,
    shard_samples: ShardOption = None,
    codec: Annotated[str, typer.Option(help="none (fastest to read) or blosc-lz4-bitshuffle.")] = "none",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that prepare samples; default: up to 4 with a GPU, 0 without.")
    ] = None,
    logits: Annotated[bool, typer.Option(help="Keep the log-probability of each class's answer.")] = True,
    share: Annotated[bool, typer.Option(help="Run questions about the same pictures as one row.")] = True,
    pack: Annotated[bool, typer.Option("--pack", help="Put samples into one row without padding.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the layers' feed-forward parts first.")] = False,
    parity: Annotated[
        list[str] | None,
        typer.Option("--parity", callback=_sorted, help="As the papers' code: system-turn, anyres, image-tag. Repeat."),
    ] = None,
    icl: Annotated[int, typer.Option("--icl", min=0, help="Answered questions before each one, from the pool.")] = 0,
    icl_seed: Annotated[int, typer.Option("--icl-seed", min=0, help="Draws them.")] = 0,
    date: Annotated[str, typer.Option("--date", help="What chat templates take for today.")] = DATE,
    class_prompt: Annotated[
        str | None,
        typer.Option(help="Text that names a {class}, and what is asked, {question}, for class vectors; '' for none."),
    ] = None,
    retry: Annotated[
        str | None, typer.Option("--retry", help="failed: run samples that failed again, and leave all others.")
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(min=0, help="This process writes shards rank, rank+world ...; default: its launcher's."),
    ] = None,
    world: Annotated[int | None, typer.Option(min=1, help="Number of processes; default: its launcher's.")] = None,
    include: IncludeOption = None,
) -> None:
    """Harvest a benchmark into a store. The same command resumes an unfinished harvest."""
    from savs_harvest.asking.class_texts import check_class_prompt
    from savs_harvest.models.families import check_switches
    from savs_harvest.models.specs import at_site, check_dtype, check_scheme, check_site, find_model, quantized
    from savs_harvest.models.templates import check_date
    from savs_stores.format.schema import check_codec

    # What is named wrongly is told before torch is imported, which takes seconds.
    add_benchmarks(include)
    check_date(date)
    check_dtype(dtype)
    check_scheme(quantize)
    check_site(site)
    check_codec(codec)
    _check_retry(retry)
    check_switches(parity or ())
    check_class_prompt(class_prompt, icl)
    spec = at_site(quantized(find_model(model, adapter), quantize), site)
    benchmark = context.meta.pop(BENCHMARK, None) or chosen.of(data).fetched()

    from savs_harvest.asking.few_shot import InContext
    from savs_harvest.batches.layout_check import load_model
    from savs_harvest.cli.progress import HarvestProgress
    from savs_harvest.models.loading import quiet_libraries
    from savs_harvest.run.forecast import check_readable, check_space
    from savs_harvest.run.growing import harvest_changed
    from savs_harvest.run.ranks import find_rank, started_by_torchrun
    from savs_harvest.run.settings import Settings, default_workers
    from savs_harvest.run.writing import Keeping

    quiet_libraries()
    process = find_rank(rank, world)
    following = context.meta.pop(BEFORE_MODEL, None)
    if following:
        following(benchmark)
    place = store or default_store(benchmark.name)
    in_context = InContext(icl, icl_seed)
    check_readable(spec, benchmark, revision)
    check_space(spec, benchmark, place, name or spec.name + in_context.suffix, revision, shard_samples, codec)
    loaded = load_model(spec, device, dtype, revision, process.local, device_map=device_map)
    settings = Settings(
        token_budget=batch_tokens,
        share=share,
        pack=pack,
        compile=compiled,
        logits=logits,
        parity=tuple(parity or ()),
        in_context=in_context,
        workers=default_workers(loaded.device) if workers is None else workers,
        date=date,
        class_prompt=class_prompt,
    )
    keeping = Keeping(name, shard_samples, codec, resume_command(context), bool(retry))
    stored_as = keeping.name_of(spec.name, settings)
    context.meta[HARVESTED] = place, stored_as
    shown_name = stored_as + (f" ({process})" if process.world > 1 else "")
    with HarvestProgress(shown_name, benchmark.name) as progress:
        report = harvest_changed(loaded, benchmark, place, settings, keeping, process, progress.listener)
    tell(report)
    print(place, file=sys.stderr)
    if not following:
        print(f"next: {_next(benchmark, place)}", file=sys.stderr)
    if report.failed and not started_by_torchrun():
        raise typer.Exit(terminal.DONE_WITH_FAILURES)


def _check_retry(retry: str | None) -> None:
    if retry not in (None, "failed"):
        raise ValueError(f"--retry {retry} means nothing: say --retry failed")


def _next(benchmark: Benchmark, place: str) -> str:
    """Return what can be done with a store: without labels there is nothing to compare, only vectors to read."""
    if any(benchmark.tasks.values()):
        return terminal.command("savs-analyze", "sweep", "--store", place)
    return "nothing has a label: give some pictures labels and run again, or predict with a classifier that is fitted"


def demo(context: typer.Context) -> None:
    """Show everything once: tiny models read handwritten digits, the best heads classify, a classifier answers."""
    import subprocess

    from savs_benchmarks.registry import EMBEDDED

    stores = [default_store(name) for name in DEMO]
    for (name, store), model in product(zip(DEMO, stores, strict=True), DEMO_MODELS):
        context.meta[BENCHMARK] = EMBEDDED[name]  # whatever is called so here
        _invoke(context, "run", "--model", model, "--data", name, "--store", store)
    code = "import sys; sys.argv[0] = 'savs-analyze'; from savs_analyze.cli import entry; entry()"
    words = [word for store in stores for word in ("--store", store)]
    done = subprocess.run([sys.executable, "-c", code, "demo", *words], check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
    _show_pictures(DEMO_OUT)
    pictures, out = DEMO_OUT / "pictures", DEMO_OUT / f"{DEMO_CLASSIFIER}.safetensors"
    _write_pictures(pictures)
    context.meta[BENCHMARK] = EMBEDDED[DEMO_CLASSIFIER]
    _invoke(context, "fit", "--model", "tiny", "--data", DEMO_CLASSIFIER, "--shots", "20", "--out", out)
    answers = DEMO_OUT / "answers.csv"
    _invoke(context, "predict", out, pictures, "--out", answers, "--html", answers.with_suffix(".html"))


def _invoke(context: typer.Context, name: str, *words: object) -> None:
    """Run another command as if it had been typed."""
    group: Any = context.find_root().command
    command = group.commands[name]
    with command.make_context(name, list(map(str, words)), parent=context.parent) as asked:
        command.invoke(asked)


def _show_pictures(results: Path) -> None:
    """Write the report again with pictures: those of digits are no files, which the analysis could find."""
    from functools import cache

    from savs_analyze.report.page import write_report
    from savs_analyze.report.thumbnails import Thumbnails
    from savs_benchmarks import load_picture
    from savs_benchmarks.registry import EMBEDDED

    @cache
    def samples(benchmark: str) -> dict[str, Any]:
        return {sample.sample_id: sample.images for sample in EMBEDDED[benchmark].samples()}

    def shown(benchmark: str, sample_id: str) -> list[Any]:
        return list(map(load_picture, samples(benchmark)[sample_id]))

    write_report(results, results / "report.html", pictures=Thumbnails(shown=shown))


def _write_pictures(folder: Path) -> None:
    """Write pictures of digits that no classifier of the demo has learnt from."""
    from savs_benchmarks import load_picture
    from savs_benchmarks.registry import EMBEDDED

    folder.mkdir(parents=True, exist_ok=True)
    new = [sample for sample in EMBEDDED[DEMO_CLASSIFIER].samples() if sample.split == "test"]
    for sample in new[:: len(new) // DEMO_PICTURES]:
        load_picture(sample.images[0]).save(folder / f"{sample.sample_id}.png")


def tell(report: Report) -> None:
    """Print what a user must know of a harvest that is done."""
    from savs_benchmarks.errors import grouped

    for remark in report.remarks:
        terminal.say(f"model: {remark}", file=sys.stderr)
    for found in report.checks:
        terminal.say(f"check: {found}", file=sys.stderr)
    for task, way in report.answers.items():
        if way in UNUSUAL:
            terminal.say(f"task {task!r}: {UNUSUAL[way]}", file=sys.stderr)
    for failure, _ in grouped(report.failures)[:20]:
        terminal.say(f"failed: {failure}", file=sys.stderr)
    if report.failed:
        print(f"{terminal.counted(report.failed, 'sample')} failed; the status says why", file=sys.stderr)
    if report.halved:
        print(f"{report.halved} batches did not fit into memory and were run in halves", file=sys.stderr)

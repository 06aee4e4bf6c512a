"""Ask any endpoint about a benchmark: a system of which nothing is known but what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs_harvest.cli.chosen import OFFICIAL, Choice, add_benchmarks, choosing, default_store
from savs_harvest.cli.options import (
    DataOption,
    IncludeOption,
    NameOption,
    ShardOption,
    StoreOption,
)
from savs_harvest.cli.resume import resume_command
from savs_stores import terminal

if TYPE_CHECKING:
    from savs_harvest.endpoint.ask import Report
    from savs_harvest.endpoint.limits import Prices


@choosing
def ask(
    context: typer.Context,
    endpoint: Annotated[str, typer.Option(help="Address up to /v1: https://..., or http:// of this machine.")],
    model: Annotated[str, typer.Option("--model", help="What the server calls the model.")],
    data: DataOption,
    store: StoreOption = None,
    chosen: Choice = OFFICIAL,
    name: NameOption = None,
    shard_samples: ShardOption = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            "--key-env",
            help="Variable of the environment with the key, or none; OPENAI_API_KEY for OpenAI, none for this machine.",
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens that an answer may have.")] = 16,
    temperature: Annotated[float, typer.Option(min=0, help="0 for the likeliest answer.")] = 0.0,
    logprobs: Annotated[
        bool, typer.Option(help="Ask for the likeliest first tokens, where the server gives them.")
    ] = True,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests at a time.")] = 4,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Requests a minute, at most.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a request that failed is sent again.")] = 5,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")] = 120.0,
    most_requests: Annotated[
        int | None, typer.Option(min=1, help="Stop at so many requests, those of earlier runs among them.")
    ] = None,
    most_cost: Annotated[
        float | None, typer.Option(min=0, help="Stop before the cost is higher; wants both prices.")
    ] = None,
    price_in: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens that are read.")] = None,
    price_out: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens that are written.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="Where requests and answers are written; default: STORE.NAME.asked.jsonl.")
    ] = None,
    proxy: Annotated[bool, typer.Option("--proxy", help="Use the proxy that the environment names.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked, and send nothing.")] = False,
    include: IncludeOption = None,
) -> None:
    """Ask a server in OpenAI's chat form, and keep what it says. The same command goes on, and pays nothing twice."""
    from savs_harvest.endpoint.address import check_address, proxy_for
    from savs_harvest.endpoint.form import Form
    from savs_harvest.endpoint.key import Key, find_key
    from savs_harvest.endpoint.limits import Limits
    from savs_stores.format.schema import check_model_name

    add_benchmarks(include)
    address = check_address(endpoint)
    key = Key() if dry_run else find_key(address, key_env)
    limits = Limits(most_requests, most_cost, _prices(price_in, price_out, most_cost))
    form = Form(model, temperature, max_tokens, logprobs)
    system = check_model_name(name or _short(model))
    benchmark = chosen.of(data).fetched()

    from savs_harvest.cli.progress import AnswerProgress
    from savs_harvest.endpoint.ask import Server, Terms, ask_benchmark
    from savs_harvest.endpoint.keeping import Place

    place = Place(store or default_store(benchmark.name), system, shard_samples, resume_command(context))
    title = f"{system} on {benchmark.name}"
    report = ask_benchmark(
        benchmark,
        Server(address, key, proxy_for(address, proxy), timeout),
        form,
        place,
        journal or _journal(place.store, system),
        Terms(limits, concurrency, rate, retries),
        lambda words: terminal.say(f"{title}: {words}", file=sys.stderr),
        lambda total, done: AnswerProgress(title, total, done, silent=done == total),
        dry_run,
    )
    if report is None:
        return
    _tell(report)
    print(place.store, file=sys.stderr)
    print(f"next: {terminal.command('savs-analyze', 'sweep', '--store', place.store)}", file=sys.stderr)
    if report.failed:
        raise typer.Exit(terminal.DONE_WITH_FAILURES)


def _short(model: str) -> str:
    """Return the name in a store of what a server calls its model."""
    return re.sub(r"[^a-z0-9._-]+", "-", model.lower()).strip("-._")


def _journal(store: str, name: str) -> Path:
    if "://" in store:
        raise ValueError("the store is elsewhere: say where requests and answers are written here, --journal FILE")
    return Path(f"{store.rstrip('/')}.{name}.asked.jsonl")


def _prices(price_in: float | None, price_out: float | None, most_cost: float | None) -> Prices | None:
    from savs_harvest.endpoint.limits import Prices

    if price_in is None and price_out is None:
        if most_cost is not None:
            raise ValueError("--most-cost wants the prices of a million tokens: --price-in and --price-out")
        return None
    if price_in is None or price_out is None:
        raise ValueError("--price-in and --price-out go together")
    return Prices(price_in, price_out)


def _tell(report: Report) -> None:
    """Print what a user must know of the answers."""
    from savs_benchmarks.errors import grouped

    for failure, _ in grouped(report.failures)[:20]:
        terminal.say(f"failed: {failure}", file=sys.stderr)
    if report.failed:
        print(f"{terminal.counted(report.failed, 'sample')} failed; the status says why", file=sys.stderr)
    if report.unread:
        print(
            f"{terminal.counted(report.unread, 'answer')} named no class, or several: counted as wrong", file=sys.stderr
        )
    if report.cut:
        print(f"{terminal.counted(report.cut, 'answer')} ended at --max-tokens", file=sys.stderr)

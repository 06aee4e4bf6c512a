"""A report: one HTML file that shows the results of a sweep, and needs nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from savs_analyze.findings.findings import Findings
from savs_analyze.methods.recipes import ZERO_SHOT
from savs_analyze.report.charts import SHAPES, VIEW
from savs_analyze.report.notes import made_up
from savs_analyze.report.sections import sections
from savs_analyze.report.thumbnails import Thumbnails
from savs_analyze.report.worst import worst_answers
from savs_analyze.runs.results import Results, refuse_store, replaced
from savs_analyze.runs.sources import find_sources
from savs_stores.terminal import shown

TEMPLATE = "page.html.j2"


def write_report(
    results: Path,
    out: Path,
    include: Sequence[Path] = (),
    stores: Sequence[str] = (),
    pictures: Thumbnails | None = None,
) -> Path:
    """Write the report of a folder of results into `out` and return it.

    `stores` are those of the results that are elsewhere now; `pictures` makes the thumbnails of samples.
    Raises FileNotFoundError where no sweep has finished, ValueError where `out` is in a store, or a metric is not here.
    """
    run = Results(results).run()
    refuse_store(out)
    found = Findings.of_folder(results, include=include)
    sources = find_sources(Results(results), [cell.facts for cell in found.cells], stores)
    worst = worst_answers(found, sources, pictures or Thumbnails())
    pages = Environment(
        loader=PackageLoader("savs_analyze.report", "."),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = pages.get_template(TEMPLATE).render(
        name=results.name,
        facts=_facts(found),
        run=run,
        sections=sections(found, worst),
        made=_made(),
        made_up=made_up(sources),
        shapes=SHAPES,
        view=VIEW,
    )
    with replaced(out) as beside:
        beside.write_text(page, encoding="utf-8")
    return out


def _made() -> str:
    """Return when the page is made, in UTC; SOURCE_DATE_EPOCH says it for pages that are to be the same again."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = float(given) if given.isdecimal() else time.time()
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _shown(value: Any) -> Any:
    """Return a text without what nobody sees, such as marks that turn the direction of writing."""
    return shown(value) if type(value) is str else value


def _facts(found: Findings) -> dict[str, Any]:
    """Return what ran, for the first lines of the page."""
    learnt = [cell.facts for cell in found.cells if cell.facts.method != ZERO_SHOT]
    return {
        **{name: found.every(name) for name in ("benchmark", "model", "method")},
        "shots": sorted({facts.shots for facts in learnt}),
        "draws": len({facts.draw for facts in learnt}),
    }

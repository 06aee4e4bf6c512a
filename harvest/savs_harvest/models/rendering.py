"""Renders chat templates in a process of its own: whatever a template does, it does it here, and within bounds.

A template is a program from a stranger. transformers runs it in a sandbox that keeps it from files, but neither from
the clock nor from using up time and memory; a process can be given a clock and bounds, and can be ended.
Requests and answers are lines of JSON. Imports nothing of ours, so that it begins quickly.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from datetime import datetime
from typing import Any

MEMORY_BYTES = 512 * 2**20
# How much is told of why a template cannot be rendered: some write it themselves.
LONGEST_REASON = 300


def limit_memory(extra: int) -> None:
    """Let this process grow by so many bytes and no more, where the system knows such a limit."""
    try:
        import resource
        from pathlib import Path

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):  # Windows; macOS, which does not hold to the limit anyway
        return
    bound = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


class Clock(datetime):
    """A clock that stands still, at the beginning of a day."""

    today_is = "2025-01-01"

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.fromisoformat(cls.today_is)


def render(utils: Any, request: dict[str, Any]) -> dict[str, str]:
    """Return {"text": ...} of a request, {"refused": ...} where the template says no, {"broken": ...} where it cannot.

    A request holds the template, the messages, the tokens that it may name, the date, and whether a turn is begun.
    """
    from jinja2.exceptions import TemplateError, TemplateSyntaxError

    Clock.today_is = request["date"]
    random.seed(request["seed"])
    try:
        text, _ = utils.render_jinja_template(
            conversations=[request["messages"]],
            chat_template=request["template"],
            add_generation_prompt=request["begin_answer"],
            **request["tokens"],
        )
    except TemplateSyntaxError as error:
        return {"broken": _short(f"line {error.lineno}: {error}")}
    except TemplateError as error:  # also what a template raises itself, by raise_exception
        return {"refused": _short(str(error))}
    except MemoryError:
        return {"broken": f"it needs more than {MEMORY_BYTES / 2**20:.0f} MiB"}
    except Exception as error:  # a program of a stranger fails in any way there is
        return {"broken": _short(f"{type(error).__name__}: {error}")}
    if len(text[0]) > request["most"]:
        return {"broken": f"it writes {len(text[0]):,} characters, more than {request['most']:,}"}
    return {"text": text[0]}


def _short(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ..."


def serve(seconds: float) -> None:
    """Answer requests until there are none, or until one takes longer than this: nobody may be left who ends it."""
    from transformers.utils import chat_template_utils as utils

    utils.datetime = Clock
    limit_memory(MEMORY_BYTES)
    say({"ready": utils.__name__})
    for line in sys.stdin.buffer:
        _end_after(seconds)
        say(render(utils, json.loads(line)))
        _end_after(0)


def _end_after(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, seconds)


def say(answer: dict[str, str]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve(float(sys.argv[1]))

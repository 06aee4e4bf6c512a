"""What both command lines share: errors as sentences, exit codes, sizes and counts in words."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

DONE, FAILED, MISUSED, DONE_WITH_FAILURES, INTERRUPTED = 0, 1, 2, 3, 130


def run_app(app: Callable[[], Any], install: str = "savs") -> None:
    """Run a command line: an error is a sentence on stderr, its traceback comes with `-v`.

    Exit codes: 0 done, 1 failed, 2 wrong use or mismatch (a ValueError: what was asked cannot be done),
    3 done with recorded failures, 130 interrupted. `install` is what brings a package that is missing.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except SystemExit as stop:  # typer turns an interruption into its exit code
        if stop.code == INTERRUPTED:
            print(f"interrupted; what is finished is kept, go on with: {command_line()}", file=sys.stderr)
        raise
    except ModuleNotFoundError as error:
        _stop(f"error: {error.name} is not installed; run: pip install '{install}'", FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(FAILED) from None
    except Exception as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            raise
        known = isinstance(error, ValueError | OSError)
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        what = f"error: {error}{notes}" if known else f"error: {type(error).__name__}: {error}{notes} (-v shows where)"
        _stop(what, MISUSED if isinstance(error, ValueError) else FAILED)


def command_line() -> str:
    """Return the command as the user typed it."""
    return " ".join([sys.argv[0].rsplit("/", 1)[-1], *sys.argv[1:]])


def size(count: int | float) -> str:
    """Return bytes in words: `1.4 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _stop(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(code) from None

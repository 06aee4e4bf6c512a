"""What both command lines share: errors as sentences, exit codes, sizes and counts in words."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

DONE, FAILED, MISUSED, DONE_WITH_FAILURES, INTERRUPTED = 0, 1, 2, 3, 130

# Unicode's kinds of what moves the cursor, turns the direction of writing, is not seen, or ends a line.
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")

# No first line of a file of ours is longer.
LONGEST_LINE = 2**20


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


class Words(StrEnum):
    """How what is said in sentences is printed."""

    text = "text"
    json = "json"


def print_json(found: Any) -> None:
    """Print plain JSON, all that is not ASCII escaped: nothing that a terminal would obey."""
    print(json.dumps(found, indent=1))


def run_app(app: Callable[[], Any], install: str = "savs") -> None:
    """Run a command line: an error is a sentence on stderr, its traceback comes with `-v`.

    Exit codes: 0 done, 1 failed, 2 wrong use or mismatch (a ValueError: what was asked cannot be done),
    3 done with recorded failures, 130 interrupted. `install` is what brings a package that is missing.
    """
    if sys.stdout is None:
        _stop("error: standard output is closed: send it somewhere, such as > FILE, or > /dev/null", MISUSED)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    typed = command_line()
    verbose = not {"-v", "--verbose"}.isdisjoint(sys.argv)
    sys.argv = [word for word in sys.argv if word not in ("-v", "--verbose")]  # wherever it stands
    try:
        app()
    except SystemExit as stop:  # typer turns an interruption into its exit code
        if stop.code == INTERRUPTED:
            print(f"interrupted; what is finished is kept, go on with: {typed}", file=sys.stderr)
        raise
    except ModuleNotFoundError as error:
        _stop(f"error: {error.name} is not installed; run: pip install '{install}'", FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(FAILED) from None
    except Exception as error:
        code = MISUSED if isinstance(error, ValueError) else FAILED
        if verbose:
            say(*traceback.format_exc().splitlines(), file=sys.stderr)
            raise SystemExit(code) from None
        known = isinstance(error, ValueError | OSError)
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        what = f"error: {error}{notes}" if known else f"error: {type(error).__name__}: {error}{notes} (-v shows where)"
        _stop(what, code)


def command_line() -> str:
    """Return the running command, ready to be pasted."""
    return command(Path(sys.argv[0]).name, *sys.argv[1:])


def command(program: str, *words: object) -> str:
    """Return a command that can be pasted: quoted, and with its folder where the program is not on the path."""
    beside = Path(sys.argv[0]).with_name(program)
    found = program if shutil.which(program) or not beside.exists() else str(beside)
    return shlex.join([found, *map(str, words)])


def printable(text: str) -> str:
    """Return a text from elsewhere with all that a terminal would obey, or nobody see, and line ends, as escapes."""
    if text.isprintable():
        return text
    hidden = (character for character in text if unicodedata.category(character) in UNPRINTABLE)
    return text.translate({ord(one): one.encode("unicode_escape").decode() for one in hidden})


def shown(text: str) -> str:
    """Return a text of several lines, each `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def say(*lines: object, file: Any = None) -> None:
    """Print lines that may hold words of a store or of results from elsewhere: a terminal obeys none of them."""
    for line in lines:
        print(printable(str(line)), file=file)


def check_output(
    path: Path, endings: Sequence[str], marks: Sequence[str] | Callable[[bytes], bool], inputs: Iterable[object] = ()
) -> None:
    """Raise ValueError where a file that is to be written would replace what this program has not written.

    Files of ours hold one of the `marks` in their first 4,096 bytes, or are known by their first line: a function of
    it says so. None of the `inputs` is ever replaced.
    """
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path} must end in {' or '.join(endings)}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file")
    if any(path.resolve() == Path(str(each)).resolve() for each in inputs):
        raise ValueError(f"{path} is read by this command, and would be replaced: name another file")
    if path.exists() and not _is_ours(path, marks):
        raise ValueError(f"{path} is there and was not written by savs: move it, or name another file")


def _is_ours(path: Path, marks: Sequence[str] | Callable[[bytes], bool]) -> bool:
    """Tell whether a file is empty, or known as `check_output` says."""
    with path.open("rb") as file:
        begins = file.readline(LONGEST_LINE) if callable(marks) else file.read(4096)
    return not begins or (marks(begins) if callable(marks) else any(mark.encode() in begins for mark in marks))


def size(count: int | float) -> str:
    """Return bytes in words: `1.4 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count in words: `1 sample`, `2,000 samples`; `many` is how more are called, where not with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def _stop(message: str, code: int) -> None:
    say(*message.split("\n"), file=sys.stderr)
    raise SystemExit(code) from None


def print_version(wanted: bool) -> bool:
    """End a command line with the version of savs, where that is asked for."""
    if wanted:
        from importlib.metadata import version

        print(f"savs {version('savs')}")
        raise SystemExit(DONE)
    return wanted

"""What is said where an optional part is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needing_harvest(name: str) -> Iterator[None]:
    """Say what to install where an import inside the block finds no torch or transformers."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(f'savs.{name} needs {error.name}: pip install "savs[harvest]"') from error

"""What storage and Zarr raise, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from savs_stores.errors import StoreError

CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run: aws configure"


@contextmanager
def faults_in_words(where: Any) -> Iterator[None]:
    """Turn what an object store raises into a `StoreError` that names the place and what to do."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("obstore"):
            raise
        raise StoreError(f"{where} cannot be reached: {_words(error)}") from error


@contextmanager
def zarr_errors_in_words(where: Any) -> Iterator[None]:
    """Turn what zarr, its codecs and JSON raise over damaged bytes into a `StoreError` that names the place."""
    try:
        with faults_in_words(where):
            yield
    except StoreError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise StoreError(f"{where} cannot be read, it is damaged: {type(error).__name__}: {error}") from error


def _words(error: Exception) -> str:
    text = str(error)
    code = "".join(re.findall(r"<Code>(\w+)</Code>", text)[:1])
    if code == "NoSuchBucket":
        return "there is no such bucket; make it, or correct the URL"
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return f"access was denied ({code or type(error).__name__}); {CREDENTIALS}, or ask for the right to this bucket"
    first = re.split(r"\n| - Server returned", text)[0]
    return f"{first}{f' ({code})' if code else ''}; check the URL, AWS_REGION, AWS_ENDPOINT_URL and the connection"

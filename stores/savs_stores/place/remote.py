"""Stores behind URLs: object stores through obstore, any other place that Zarr knows through fsspec."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zarr.abc.store import Store as ZarrStore
from zarr.storage import FsspecStore, ObjectStore

from savs_stores.errors import StoreError

AMAZON = ("s3", "s3a")
OBJECT_STORES = (*AMAZON, "gs", "az", "azure", "adl", "abfs", "abfss")
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run: aws configure"
# A shard is sent in parts of 5 MB, twelve at a time: on a slow line each may take a while.
CLIENT = {"allow_http": True, "timeout": "5m"}


def open_url(url: str) -> ZarrStore:
    """Return the Zarr store behind a URL.

    Raises `StoreError` where a package, the credentials, the bucket or the connection is missing.
    """
    if url.split("://")[0] not in OBJECT_STORES:
        try:
            return FsspecStore.from_url(url)
        except (ImportError, ValueError) as error:
            raise StoreError(f"{url} cannot be opened: {error}") from error
    try:
        import obstore
        from obstore.store import from_url

        options = {"client_options": CLIENT, **_credentials(url)}
    except ImportError:
        raise StoreError(f"{url} needs obstore and boto3; run: pip install 'savs[s3]'") from None
    with faults_in_words(url):
        # Asked once, and without patience: what is wrong is said now and not in the middle of a harvest.
        obstore.list_with_delimiter(from_url(url, retry_config={"max_retries": 2}, **options))
        return ObjectStore(from_url(url, **options))


@contextmanager
def faults_in_words(where: Any) -> Iterator[None]:
    """Turn what an object store raises into a `StoreError` that names the place and what to do."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("obstore"):
            raise
        raise StoreError(f"{where} cannot be reached: {_words(error)}") from error


def _credentials(url: str) -> dict[str, Any]:
    """Return the option that finds credentials as every tool for S3 does: environment, profile, role of the machine."""
    if url.split("://")[0] not in AMAZON or os.environ.get("AWS_SKIP_SIGNATURE", "").lower() == "true":
        return {}
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return {"credential_provider": Boto3CredentialProvider()}
    except ValueError:
        raise StoreError(
            f"there are no credentials for {url}: {CREDENTIALS} (a public bucket: set AWS_SKIP_SIGNATURE=true)"
        ) from None


def _words(error: Exception) -> str:
    text = str(error)
    code = "".join(re.findall(r"<Code>(\w+)</Code>", text)[:1])
    if code == "NoSuchBucket":
        return "there is no such bucket; make it, or correct the URL"
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return f"access was denied ({code or type(error).__name__}); {CREDENTIALS}, or ask for the right to this bucket"
    first = re.split(r"\n| - Server returned", text)[0]
    return f"{first}{f' ({code})' if code else ''}; check the URL, AWS_REGION, AWS_ENDPOINT_URL and the connection"

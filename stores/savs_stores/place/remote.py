"""Stores behind URLs: object stores through obstore, any other place that Zarr knows through fsspec."""

from __future__ import annotations

import os
from typing import Any

from zarr.abc.store import Store as ZarrStore
from zarr.storage import FsspecStore, ObjectStore

from savs_stores.errors import StoreError
from savs_stores.faults import CREDENTIALS, faults_in_words

AMAZON = ("s3", "s3a")
OBJECT_STORES = (*AMAZON, "gs", "az", "azure", "adl", "abfs", "abfss")
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

"""What can be wrong with a store; every message says what to do now."""

from __future__ import annotations

from savs_stores.terminal import printable


class StoreError(ValueError):
    """A store that cannot be read or written as asked; what its files say is repeated without control characters."""

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))


class IncompleteStoreError(StoreError):
    """A model's vectors are not all there; the message says how to finish them."""


class MismatchError(StoreError):
    """What is to be written does not belong into this store; the message lists the differing fields."""

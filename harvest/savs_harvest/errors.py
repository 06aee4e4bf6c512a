"""What can go wrong with a model, said so that a user can mend it."""

from __future__ import annotations


class ModelError(ValueError):
    """A model that cannot be loaded, or whose heads cannot be captured."""


class HubError(OSError):
    """A checkpoint that is not here and cannot be fetched."""


class EndpointError(OSError):
    """A server that cannot be asked, or cannot be asked any more."""

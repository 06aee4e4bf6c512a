"""Records that stay for the time of a test."""

from contextlib import contextmanager

from savs_analyze.registry import Origin


@contextmanager
def added(registry, record):
    registry.register(record, Origin("a test"))
    try:
        yield record
    finally:
        registry.remove(record.name)

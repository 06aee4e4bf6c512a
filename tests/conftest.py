import gc
import os

import pytest
from hypothesis import settings

from kit.objects import bucket, home, kind  # noqa: F401

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")
for library in ("OMP", "OPENBLAS", "MKL"):  # each reads it when it is loaded, which is later; children inherit it
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def pytest_collection_finish():
    """Spare the garbage collector what was imported: a walk through torch and its like takes half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    """A data folder with a replica of every published benchmark. Copy what you change."""
    from kit.replicas import make_replicas

    return make_replicas(tmp_path_factory.mktemp("data"))

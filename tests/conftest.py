import pytest
from hypothesis import settings

from kit.objects import bucket, home, kind  # noqa: F401

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    """A data folder with a replica of every published benchmark. Copy what you change."""
    from kit.replicas import make_replicas

    return make_replicas(tmp_path_factory.mktemp("data"))

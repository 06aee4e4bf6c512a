import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")

sys.path.append(str(Path(__file__).parent))  # test modules of every folder may import `replicas` and `objects`

from objects import bucket, home, kind  # noqa: E402, F401


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    """A data folder with a replica of every published benchmark. Copy what you change."""
    from replicas import make_replicas

    return make_replicas(tmp_path_factory.mktemp("data"))

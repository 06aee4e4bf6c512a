import pytest

from savs_analyze.cli.planted import write_planted


@pytest.fixture
def make_planted_store():
    return lambda path: write_planted(path, test=50)

"""What was imported from version 0.1.0 is found for one more version, with a warning that names the new place."""

import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

from savs_moved.table import GONE, RENAMED

# Every module of 0.1.0 with its public names.
LINES = (Path(__file__).parent / "data" / "names-0.1.0.txt").read_text().splitlines()
NAMES = {module: names.split() for module, _, names in (line.partition(": ") for line in LINES)}


@pytest.mark.parametrize("module", NAMES)
def test_every_old_name_is_found(module):
    for name in NAMES[module]:
        if (old := f"{module}.{name}") in GONE:
            continue
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found = getattr(import_module(module), name)
        words = {str(warning.message) for warning in heard if warning.category is FutureWarning}
        if not words:
            assert vars(import_module(module))[name] is found  # it did not move
            continue
        [said] = words
        place = said.split(" from ")[1].split(";")[0]
        assert getattr(import_module(place), RENAMED.get(old, name).split(".")[-1]) is found
        assert module in said


def test_what_is_gone_was_there():
    assert set(GONE) <= {f"{module}.{name}" for module, names in NAMES.items() for name in names}
    assert not set(GONE) & set(RENAMED)


@pytest.mark.parametrize("module", ["savs_analyze.nothing", "savs_stores.nothing", "savs_moved.nothing"])
def test_what_never_was_is_not_found(module):
    with pytest.raises(ModuleNotFoundError):
        import_module(module)
    with pytest.raises(AttributeError):
        _ = import_module("savs_analyze.draws").nothing


def test_a_user_sees_the_warning():
    command = [sys.executable, "-c", "from savs_stores.plan import ShardPlan"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert (
        "<string>:1: FutureWarning: savs_stores.plan has moved: import ShardPlan from savs_stores.format.plan" in told
    )


@pytest.mark.parametrize("module", ["savs_stores.place.keys", "savs_analyze.classifier.file", "savs_harvest.run.work"])
def test_a_file_of_a_folder_that_took_an_old_name_can_be_imported_first(module):
    """`from folder import file` once asked for an old name first, and imported what was being imported."""
    command = [sys.executable, "-W", "error::FutureWarning", "-c", f"import {module}"]
    assert subprocess.run(command, check=False).returncode == 0

"""Analysis runs on machines without torch: importing it must not even try."""

import subprocess
import sys

import pytest

LOADED = (
    "import sys, {module}; print(sorted(set(sys.modules) & {{'torch', 'transformers', 'zarr', 'matplotlib', 'PIL'}}))"
)


def loaded_by(module):
    command = [sys.executable, "-c", LOADED.format(module=module)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "module",
    ["savs_analyze.runs.sweep", "savs_analyze.findings.summary", "savs_analyze.report.head_maps", "savs_stores.read"],
)
def test_analysis_loads_no_torch(module):
    assert "torch" not in loaded_by(module)
    assert "transformers" not in loaded_by(module)


def test_this_test_can_fail():
    assert "torch" in loaded_by("savs_harvest.models.heads")


@pytest.mark.parametrize("module", ["savs_analyze.cli.commands", "savs_harvest.cli.commands"])
def test_help_waits_for_nothing_heavy(module):
    assert loaded_by(module) == "[]"

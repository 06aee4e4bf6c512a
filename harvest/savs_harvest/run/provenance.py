"""With what, and how, a shard is made: versions and device; batches, seconds, memory."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch

from savs_stores.format.provenance import ENVIRONMENT, RUN

PACKAGES = ("savs", "torch", "transformers", "tokenizers", "pillow", "zarr", "numcodecs", "numpy")
DRIVER = Path("/proc/driver/nvidia/version")
# It takes a few milliseconds; a disk that hangs must not keep a harvest from beginning.
GIT_SECONDS = 30


@cache
def environment(device: torch.device) -> dict[str, Any]:
    """Return what shards of one model should have in common, though vectors differ by rounding only where not."""
    found: dict[str, Any] = {name: version(name) for name in PACKAGES}
    found |= {"commit": source_commit(Path(__file__)), "python": platform.python_version()}
    found |= {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "float32_products": torch.get_float32_matmul_precision(),
    }
    if device.type != "cuda":
        return found | {"device": device_name(device), "threads": torch.get_num_threads()}
    return found | {
        "device": device_name(device),
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": driver_version(DRIVER.read_text()) if DRIVER.exists() else None,
        "allow_tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def device_name(device: torch.device) -> str:
    """Return the kind of GPU, or of the machine where the processor computes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()


def driver_version(text: str) -> str | None:
    """Return the version in what the driver says of itself, without who built it on which host."""
    found = re.search(r"\b\d+\.\d+(\.\d+)?\b", text.split("\n", 1)[0])
    return found[0] if found else None


def source_commit(file: Path) -> str | None:
    """Return the commit of a file under git, ending in -dirty where anything of it was changed; None without one."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(file.parent), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=GIT_SECONDS).stdout

    try:
        git("ls-files", "--error-unmatch", file.name)
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").strip()
    except (OSError, subprocess.SubprocessError):
        return None


class Ran(Protocol):
    """What ran for a shard: samples of every call, how many calls were halved, why samples failed."""

    @property
    def batches(self) -> list[int]: ...
    @property
    def halved(self) -> int: ...
    @property
    def reasons(self) -> dict[int, str]: ...


class Recorder:
    """Notes how one shard is made, from its first batch on."""

    def __init__(
        self, device: torch.device, process: Mapping[str, int], made_with: Mapping[str, str] | None = None
    ) -> None:
        self.device, self.process, self.made_with = device, process, made_with or {}
        self.started, self.clock = datetime.now(UTC), time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def provenance(self, buffers: Ran) -> dict[str, Any]:
        """Return what is kept beside the shard: samples a call in their order, seconds, highest memory in bytes."""
        run = {
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self.clock, 3),
            "batches": buffers.batches,
            "halved": buffers.halved,
            "failed": len(buffers.reasons),
            "peak_memory": peak_memory(self.device),
            **self.process,
        }
        return {ENVIRONMENT: {**environment(self.device), **self.made_with}, RUN: run}


def peak_memory(device: torch.device) -> dict[str, int]:
    """Return the highest memory in bytes: of this process since it began, of the device since the shard began."""
    found = {"device": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {}
    with suppress(ImportError):  # Windows does not have it
        import resource

        found["host"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return found

"""What a device is asked while it works: its memory, its clock, and how long it was busy."""

import platform
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


class Processor:
    """The CPU, standing in for a GPU: the memory is that of the process, what runs is operators instead of kernels."""

    kind = "cpu"
    activity = ProfilerActivity.CPU
    events = torch.autograd.DeviceType.CPU
    _seen = 0

    @property
    def name(self):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())

    def finish(self):
        pass

    def free_bytes(self):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable")))

    def reset_peak(self):
        """Count the peak from here on; return what is in use."""
        Path("/proc/self/clear_refs").write_text("5")
        self._seen = 0
        return self.peak_bytes()

    def peak_bytes(self):
        """Return the peak so far; what Linux says of it may fall, as it counts use that it has not yet noted."""
        lines = Path("/proc/self/status").read_text().splitlines()
        self._seen = max(self._seen, 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))))
        return self._seen


class Gpu:
    """The first GPU of this process."""

    kind = "cuda"
    activity = ProfilerActivity.CUDA
    events = torch.autograd.DeviceType.CUDA

    @property
    def name(self):
        return torch.cuda.get_device_name()

    def finish(self):
        torch.cuda.synchronize()

    def free_bytes(self):
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]

    def reset_peak(self):
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()

    def peak_bytes(self):
        return torch.cuda.max_memory_allocated()


def find_device(kind):
    return Gpu() if kind == "cuda" else Processor()


def busy(intervals):
    """Return the length of the union of intervals (start, stop), which may overlap and come in any order."""
    total, reached = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return total


def observed(device, work):
    """Run the work and return (seconds of the clock, seconds in which the device was busy)."""
    device.finish()
    with profile(activities=[device.activity]) as record:
        started = time.perf_counter()
        work()
        device.finish()
        seconds = time.perf_counter() - started
    ranges = [event.time_range for event in record.events() if event.device_type == device.events]
    return seconds, busy((span.start, span.end) for span in ranges) / 1e6


def product_rate(device, dtype, rows, width, depth, repeats=10):
    """Return the floating-point operations a second of products of random matrices, one behind the other, best of five.

    Random, for a GPU clocks higher on numbers that are all alike than it does on those of a model.
    """
    first, second = torch.randn(rows, width, device=device.kind), torch.randn(width, depth, device=device.kind)
    first, second = first.to(dtype), second.to(dtype)
    best = float("inf")
    for _ in range(5):
        device.finish()
        started = time.perf_counter()
        for _ in range(repeats):
            first @ second
        device.finish()
        best = min(best, time.perf_counter() - started)
    return 2.0 * rows * width * depth * repeats / best

"""What is asked: benchmarks of samples, each a prompt of pictures and text with a label."""

import savs_moved  # noqa: F401  old import paths go on for one version
from savs_benchmarks.errors import BenchmarkError, PictureError
from savs_benchmarks.files.jsonl import load_jsonl
from savs_benchmarks.files.own import load_own
from savs_benchmarks.files.published import Published
from savs_benchmarks.files.reading import Reading
from savs_benchmarks.pictures.pictures import load_picture
from savs_benchmarks.registry import BENCHMARKS, find_benchmark
from savs_benchmarks.sample import Benchmark, Sample, check

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "BenchmarkError",
    "PictureError",
    "Published",
    "Reading",
    "Sample",
    "check",
    "find_benchmark",
    "load_jsonl",
    "load_own",
    "load_picture",
]

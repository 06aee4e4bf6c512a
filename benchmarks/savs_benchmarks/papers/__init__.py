"""The benchmarks of both papers, one file each."""

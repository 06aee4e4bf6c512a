"""The embedded benchmarks: handwritten digits, asked about in four ways."""

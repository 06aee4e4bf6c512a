"""The embedded model `tiny`: a Qwen2-VL of under a million weights, trained on handwritten digits."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"

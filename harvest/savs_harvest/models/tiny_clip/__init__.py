"""The embedded encoder `tiny-clip`: a CLIP of under a quarter of a million weights, trained on handwritten digits."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"

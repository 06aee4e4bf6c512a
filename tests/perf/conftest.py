"""What is measured on a GPU is split over several files here, and borrows the tests' tokenizer and processors."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "harvest")]

"""What is measured on a GPU is split over several files here."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

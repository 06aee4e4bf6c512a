"""Systems side by side: the tables and the figure of systems.md.

python docs/systems.py STORE ...     on stores that hold what systems.md names
"""

import shutil
import sys
import tempfile
from pathlib import Path

from savs_analyze.cli.sweeps import study

FIGURE = Path(__file__).parent / "systems.svg"


def main(stores: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        study("systems", stores, Path(folder) / "results")
        shutil.copy(Path(folder) / "results" / "systems.svg", FIGURE)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What is learnt: scores, votes, draws and tables from stores of head vectors. CPU only, no torch."""

import savs_moved  # noqa: F401  old import paths go on for one version

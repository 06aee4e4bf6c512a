"""What is learnt: scores, votes, draws and tables from stores of head vectors. CPU only, no torch."""

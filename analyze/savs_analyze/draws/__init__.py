"""Which samples a draw learns from, which choose hyperparameters, which are tested."""

"""Results from models: pools of solutions, sweeps of strategies, where they are stored and who runs them."""

"""The study on a real language model, a stage a file; ``python -m benchmarks.real_study`` runs them."""

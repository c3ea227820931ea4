"""Fitting a model to examples: trainer, runs, checkpoints, objectives."""

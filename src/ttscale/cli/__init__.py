"""The command ``ttscale``."""

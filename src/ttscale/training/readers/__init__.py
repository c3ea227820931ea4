"""Readers of step-labelled data, one file per format: every malformed row is counted and reported, none is guessed."""

from ttscale.training.readers._rows import Count, Read
from ttscale.training.readers.math_shepherd import read_math_shepherd
from ttscale.training.readers.omegaprm import read_omegaprm
from ttscale.training.readers.own import read_rollouts
from ttscale.training.readers.prm800k import read_prm800k
from ttscale.training.readers.rlhflow import read_rlhflow
from ttscale.training.readers.trl import read_trl, write_trl

__all__ = [
    "Count",
    "Read",
    "read_math_shepherd",
    "read_omegaprm",
    "read_prm800k",
    "read_rlhflow",
    "read_rollouts",
    "read_trl",
    "write_trl",
]

"""Readers of step-labelled data, one file per format: every malformed row is counted and reported, none is guessed."""

from ttscale.training.data.readers.math_shepherd import read_math_shepherd
from ttscale.training.data.readers.omegaprm import read_omegaprm
from ttscale.training.data.readers.own import read_rollouts
from ttscale.training.data.readers.prm800k import read_prm800k
from ttscale.training.data.readers.rlhflow import read_rlhflow
from ttscale.training.data.readers.rows import Read, RowCount
from ttscale.training.data.readers.trl import read_trl, write_trl

__all__ = [
    "Read",
    "RowCount",
    "read_math_shepherd",
    "read_omegaprm",
    "read_prm800k",
    "read_rlhflow",
    "read_rollouts",
    "read_trl",
    "write_trl",
]

"""Verifiers and comparators for people without a reward model: judges, functions, the generator's own confidence.

They work with any backend, synchronous or asynchronous, and load none.
"""

from ttscale.verifiers.comparator import FunctionComparator, PromptedComparator
from ttscale.verifiers.confidence import ConfidenceVerifier
from ttscale.verifiers.ensemble import EnsembleVerifier
from ttscale.verifiers.function import FunctionVerifier
from ttscale.verifiers.judge import JudgeVerifier
from ttscale.verifiers.mixed_generator import MixedGenerator

__all__ = [
    "ConfidenceVerifier",
    "EnsembleVerifier",
    "FunctionComparator",
    "FunctionVerifier",
    "JudgeVerifier",
    "MixedGenerator",
    "PromptedComparator",
]

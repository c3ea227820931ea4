"""Verifiers on Hugging Face checkpoints: which adapter reads which checkpoint, and the scorer they share."""

from __future__ import annotations

from ttscale.hf.verifiers.verifier import HFVerifier

__all__ = ["HFVerifier"]

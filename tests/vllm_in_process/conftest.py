"""Every test here runs on the stand-in."""

from fake_vllm import fake_vllm

__all__ = ["fake_vllm"]

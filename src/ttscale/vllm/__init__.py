"""vLLM in this process: generator, reviser and verifier on one ``vllm.LLM`` (extra ``vllm``).

vLLM loads when a role is made, not before. For a vLLM server, see ``ttscale.openai``.
"""

from ttscale.vllm.roles import VLLMGenerator, VLLMReviser
from ttscale.vllm.verifier import VLLMVerifier

__all__ = ["VLLMGenerator", "VLLMReviser", "VLLMVerifier"]

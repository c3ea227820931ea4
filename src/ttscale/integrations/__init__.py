"""Doors to other programs: the OpenAI-compatible gateway, and adapters for frameworks people use."""

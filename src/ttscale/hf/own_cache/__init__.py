"""Decoding through the model's own cache, for models that the fast path does not know."""

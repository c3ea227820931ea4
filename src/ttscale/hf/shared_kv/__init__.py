"""Decoding with keys and values that many rows share, over the prefix tree."""

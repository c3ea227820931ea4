"""Runs searches: a core that never waits, drivers that do, and the trace of what happened."""

"""Settings for all tests: properties take the time they take, and in CI always try the same cases."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# Shells start background jobs with Ctrl-C ignored, and children inherit that; the tests of Ctrl-C need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

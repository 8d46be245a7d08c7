"""One profile for hypothesis in every run, and a longer one for `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.register_profile(
    "fuzz", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("fuzz" if os.environ.get("SASLPY_FUZZ") else "suite")

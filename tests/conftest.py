"""What must be so before any test module is imported."""

import os

from hypothesis import HealthCheck, settings

# Tests fork workers from this process. With grpc's own support for forking, a child starts grpc's threads
# anew on descriptors that the worker closes at once, and dies of it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# How long an example takes says something of the machine alone.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

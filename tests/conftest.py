"""What must be so before any test module is imported."""

import os

# Tests fork workers from this process. With grpc's own support for forking, a child starts grpc's threads
# anew on descriptors that the worker closes at once, and dies of it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

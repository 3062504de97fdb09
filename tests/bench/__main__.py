"""`make bench`: the table of what the gateway must reach, against Triton's Python backend."""

from __future__ import annotations

import sys

from tests.bench import run
from tests.bench.suite import comparisons, singles

_NAMES = (
    "rest",
    "grpc",
    "grpc-metadata",
    "latency-rest",
    "latency-grpc",
    "inline-rest",
    "inline-grpc",
    "python-rest",
    "python-grpc",
    "policies-rest",
    "policies-grpc",
    "identity-rest",
    "identity-grpc",
    "open-rest",
    "open-grpc",
    "cold",
    "ensemble-rest",
    "ensemble-grpc",
    "stream",
    "memory",
)


def main() -> int:
    given = run.arguments("suite", _NAMES)
    with run.setting(given) as setting:
        long = setting._replace(seconds=given.open_seconds)
        planned: list[run.Planned] = [*comparisons(setting), *singles(long)]
        wanted = run.chosen(planned, given.only)
        return run.perform("triton", wanted, given)


if __name__ == "__main__":
    sys.exit(main())

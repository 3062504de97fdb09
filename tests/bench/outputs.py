"""What the load generators print, read into values; a text that is not understood is an error."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tests.bench.figures import percentile

_US_PER = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}

# wrk ends with one line written by the Lua script of load.py, because its own table rounds to 3 digits.
_WRK_LINE = re.compile(r"^RESULT (\{.*\})$", re.MULTILINE)
_H2LOAD_RATE = re.compile(r"finished in ([\d.]+)(us|ms|s|m|h), ([\d.]+) req/s")
_H2LOAD_REQUESTS = re.compile(
    r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, "
    r"(\d+) failed, (\d+) errored, (\d+) timeout"
)
_H2LOAD_STATUS = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
_H2LOAD_TRAFFIC = re.compile(r"traffic: \S+ \(\d+\) total, .*, \S+ \((\d+)\) data")


class Unreadable(ValueError):
    """A generator printed something else than it should; the text is the message."""


class Load(msgspec.Struct, frozen=True):
    """One run of a generator: answers, failures, seconds, and latency percentiles in microseconds.

    `failures` counts every request without a good answer. `data_bytes` are those of the answers'
    bodies, -1 where the generator does not tell. A percentile it did not measure is -1. `busy` is the
    share of its core that the generator used, 0 where unknown: near 1 it was the limit, not the server.
    """

    requests: int
    failures: int
    seconds: float
    data_bytes: int = -1
    p50_us: float = -1.0
    p90_us: float = -1.0
    p99_us: float = -1.0
    p999_us: float = -1.0
    max_us: float = -1.0
    busy: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.failures) / self.seconds

    def with_latencies(self, ascending_us: Sequence[float]) -> Load:
        """The same with the percentiles of these latencies; raises ValueError where there are none."""
        return msgspec.structs.replace(
            self,
            p50_us=percentile(ascending_us, 0.5),
            p90_us=percentile(ascending_us, 0.9),
            p99_us=percentile(ascending_us, 0.99),
            p999_us=percentile(ascending_us, 0.999),
            max_us=ascending_us[-1],
        )


def parse_wrk(text: str) -> Load:
    """Reads the line that the Lua script prints; raises Unreadable."""
    found = _WRK_LINE.search(text)
    if found is None:
        raise Unreadable(f"wrk printed no result:\n{text}")
    return msgspec.json.decode(found[1], type=Load)


def parse_h2load(text: str) -> Load:
    """Reads h2load's summary; raises Unreadable, and where it says that nothing was done."""
    requests, status = _H2LOAD_REQUESTS.search(text), _H2LOAD_STATUS.search(text)
    took, traffic = _H2LOAD_RATE.search(text), _H2LOAD_TRAFFIC.search(text)
    if requests is None or status is None or took is None or traffic is None:
        raise Unreadable(f"h2load printed no summary:\n{text}")
    done, succeeded = int(requests[2]), int(requests[3])
    lost = sum(int(requests[i]) for i in (5, 6)) + (done - succeeded)
    wrong = sum(int(status[i]) for i in (2, 3, 4))
    return Load(
        requests=done,
        failures=max(lost, wrong),
        seconds=done / float(took[3]) if float(took[3]) else float(took[1]) * _US_PER[took[2]] / 1e6,
        data_bytes=int(traffic[1]),
    )


def parse_h2load_log(text: str) -> list[float]:
    """Reads the lines "start us, status, duration us" of --log-file into ascending durations, us."""
    try:
        return sorted(float(line.split("\t")[2]) for line in text.splitlines())
    except (IndexError, ValueError) as bad:
        raise Unreadable(f"h2load's log: {bad}") from bad

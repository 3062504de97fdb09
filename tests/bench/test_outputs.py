from __future__ import annotations

import pytest

from tests.bench.outputs import Load, Unreadable, parse_h2load, parse_h2load_log, parse_wrk

WRK = """Running 2s test @ http://127.0.0.1:8000/v2/models/fraud/infer
  1 threads and 64 connections
  17070 requests in 2.00s, 3.96MB read
Requests/sec:   8525.51
RESULT {"requests":17070,"failures":3,"seconds":2.002104,"p50_us":7926.0,"p90_us":13439.0,\
"p99_us":16852.0,"p999_us":19896.0,"max_us":21632.0}
"""

H2LOAD = """starting benchmark...
Main benchmark duration is started for thread #0. Stopping all clients.
finished in 2.00s, 8654.50 req/s, 1.22MB/s
requests: {total} total, 17373 started, {done} done, {succeeded} succeeded, \
{failed} failed, {errored} errored, {timeout} timeout
status codes: {ok} 2xx, 0 3xx, {client} 4xx, {server} 5xx
traffic: 2.44MB (2561732) total, 152.11KB (155763) headers (space savings 94.44%), 676.13KB (692360) data
                     min         max         mean         sd        +/- sd
time for request:     1.51ms     29.12ms      7.20ms      2.93ms    67.34%
"""
GOOD = {
    "total": 17309,
    "done": 17309,
    "succeeded": 17309,
    "failed": 0,
    "errored": 0,
    "timeout": 0,
    "ok": 17309,
    "client": 0,
    "server": 0,
}


def test_wrk_tells_by_the_line_of_its_script() -> None:
    load = parse_wrk(WRK)
    assert (load.requests, load.failures, load.p50_us, load.max_us) == (17070, 3, 7926.0, 21632.0)
    assert load.rate == pytest.approx(17067 / 2.002104)
    assert load.data_bytes == -1


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:8000 Connection refused", "RESULT 5"])
def test_wrk_without_a_result_is_an_error(text: str) -> None:
    with pytest.raises(Unreadable, match="no result"):
        parse_wrk(text)


def test_h2load_tells_by_its_summary() -> None:
    load = parse_h2load(H2LOAD.format(**GOOD))
    assert (load.requests, load.failures, load.data_bytes) == (17309, 0, 692360)
    assert load.rate == pytest.approx(8654.5)


@pytest.mark.parametrize(
    ("faults", "failures"),
    [
        ({"succeeded": 17300, "failed": 9}, 9),
        ({"errored": 64}, 64),
        ({"timeout": 2}, 2),
        ({"ok": 17299, "server": 7, "client": 3}, 10),
    ],
)
def test_h2load_s_failures_are_counted(faults: dict[str, int], failures: int) -> None:
    assert parse_h2load(H2LOAD.format(**{**GOOD, **faults})).failures == failures


def test_h2load_without_a_summary_is_an_error() -> None:
    with pytest.raises(Unreadable, match="no summary"):
        parse_h2load("starting benchmark...\n")


def test_h2load_that_did_nothing_has_no_rate() -> None:
    text = H2LOAD.format(**{**GOOD, "total": 0, "done": 0, "succeeded": 0, "ok": 0})
    assert parse_h2load(text.replace("8654.50 req/s", "0.00 req/s")).rate == 0.0


def test_h2load_s_log_gives_ascending_durations() -> None:
    assert parse_h2load_log("1700\t200\t310\n1701\t200\t90\n") == [90.0, 310.0]


@pytest.mark.parametrize("text", ["1700 200 310\n", "1\t200\tsoon\n"])
def test_a_log_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(Unreadable, match="log"):
        parse_h2load_log(text)


def test_latencies_become_percentiles() -> None:
    load = Load(requests=4, failures=0, seconds=1.0).with_latencies([1.0, 2.0, 3.0, 9.0])
    assert (load.p50_us, load.p90_us, load.max_us) == (2.0, 9.0, 9.0)

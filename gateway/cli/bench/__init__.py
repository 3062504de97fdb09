"""`gateway bench`: a load generator for any V2 server, and a library for benchmarks.

`run(Plan(model=...))` measures one load and returns a `Result`. Closed loop (so many requests in
flight) or open loop (so many a second, latency from when each was due); REST with JSON, REST with
binary tensors, gRPC; its own processes, on cores of their own if asked.

plan        what to measure                    inputs, encoding  what to send
preparing   reach, learn, try once             processes, child  who sends; job: what they say to each other
engine      the loop of one process            connection        one socket | rest, grpc: its protocol
load        when requests are due              tally, histogram  what came back
result      the numbers, and their JSON        report, plot, png for people | command: the command line

It measures servers as their clients see them, so it imports nothing of the gateway's but core.
"""

from gateway.cli.bench.plan import BenchError, Plan
from gateway.cli.bench.processes import run
from gateway.cli.bench.result import Latency, Result

__all__ = ["BenchError", "Latency", "Plan", "Result", "run"]

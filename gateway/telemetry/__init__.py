"""Records to metrics, traces and logs: a subscriber of what happens, never in its way.

counters, executions    what a front counts | series: as it travels | statistics: as it is told
exposition, triton_names, device_series   the metrics page | machine: what devices say of themselves
traced, trace_log       a request under trace, and where it is written
logs                    what a process logs, and how | access_log: a line a request
"""

"""The plugins that come with the gateway; each knows gateway.core and gateway.hooks, and nothing else of it.

api_keys           callers by API keys, and `gateway keys`
mtls               callers by client certificates
header_transform   headers into parameters of the request, and more headers for answers
limits             quotas by rate and concurrency, adaptive limits and shedding under overload
routing            rules for which model and version answers: weights that stick, headers, tenants, times
"""

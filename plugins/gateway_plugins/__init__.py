"""The plugins that come with the gateway; each knows gateway.core and gateway.hooks, and nothing else of it.

api_keys           callers by API keys, and `gateway keys`
batching           strategies that form batches: none, static, dynamic, micro, slo_aware
header_transform   headers into parameters of the request, and more headers for answers
jwt_auth           callers by bearer tokens of OIDC identity providers
limits             quotas by rate and concurrency, adaptive limits and shedding under overload
mtls               callers by client certificates
opa                what callers may, by policies of Open Policy Agent
outbound           no plugin: how others here ask services over HTTP
routing            rules for which model and version answers: weights that stick, headers, tenants, times
"""

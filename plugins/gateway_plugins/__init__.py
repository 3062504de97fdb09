"""The plugins that come with the gateway; each knows gateway.core and gateway.hooks, and nothing else of it.

api_keys           callers by API keys, and `gateway keys`
batching           strategies that form batches: none, static, dynamic, micro, slo_aware
cascade            a small model first, a large one where that is in doubt
cost_meter         requests, rows and device seconds by caller, as CSV
drift              whether inputs and outputs are still what they were
header_transform   headers into parameters of the request, and more headers for answers
jwt_auth           callers by tokens of OpenID Connect issuers
limits             quotas by rate and concurrency, adaptive limits and shedding under overload
load_policy        what may be loaded: by model, size and kinds of files; what must stay
mtls               callers by client certificates
opa                rights by Open Policy Agent
outbound           no plugin: how others here ask services over HTTP
payload_log        requests with their answers as CloudEvents
response_cache     answers that were given before, byte-bounded, one flight for equal questions
routing            rules for which model and version answers: weights that stick, headers, tenants, times
targets            no plugin: how settings here name a model
webhooks           what happens to models, as signed CloudEvents to addresses of the operator
"""

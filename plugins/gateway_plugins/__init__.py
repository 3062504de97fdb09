"""The plugins that come with the gateway; each knows gateway.core and gateway.hooks, and nothing else of it.

batching           strategies that form batches: none, static, dynamic, micro, slo_aware
header_transform   headers into parameters of the request, and more headers for answers
"""

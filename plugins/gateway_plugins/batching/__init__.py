"""Batching strategies: each one pure function of the contract in gateway.core.batching.

none        every request alone
static      exactly so many rows, for work that nobody waits for
dynamic     preferred sizes and a longest delay, as Triton's dynamic batcher
micro       a window of a millisecond, for streams of small steps
slo_aware   as many rows as the instances need to keep up, as long as the objective is met
continuous  rows that enter and leave at every step (contract: gateway.core.step_batching)
plugin      the door to all of them
packing     what they share: lanes of requests that may share a batch, and heads of lanes
"""

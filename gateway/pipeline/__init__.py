"""A request's life, read top to bottom: authenticate, route, admit, schedule, execute, respond.

pipeline   that life | catalogue: the models as this front knows them | cold: who waits for a load
ensemble   a request that is several: which steps (ensemble_plan), and how they go (ensemble_run)
calls      what models ask of other models while they execute | chain: who waits for whom
instances  what of the workers this front can reach | classification: the highest elements of an output
service    what frontends are promised | control, asking: what they may ask of the controller
observing  trace and log settings | tracing: what they make of a request
statistics what was counted | turns: long work, a part a turn of the loop
"""

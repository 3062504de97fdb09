"""Which model and version answers, by rules that are data: the first rule that matches a request decides.

settings   what a rule can say | rules: from a request to a choice, without time or chance of its own
buckets    weights that stick | windows: times of the week | router: rules in force
plugin     the hook
"""

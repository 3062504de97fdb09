"""What operators see and send: the metrics page, and versions of models; the dashboard is to follow.

metrics     the metrics page and a probe
service     the admin API on its listener | settings | app: all of it, of the table operations
door        what all routes have in common | doorkeeper: who may use it | openapi: the table described
versions    whole archives | sessions: file by file, going on where it broke off | digests: Content-Digest
models      what is served, and what else of a model can be changed | documents: the bodies
"""

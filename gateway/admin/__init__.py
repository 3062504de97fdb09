"""What operators see and send: the metrics page, and versions of models; the dashboard is to follow.

metrics     the metrics page and a probe
versions    the admin API of versions | doorkeeper: who may use it | digests: Content-Digest
"""

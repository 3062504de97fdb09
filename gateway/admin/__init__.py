"""What operators see and send: the metrics page, and versions of models; the dashboard is to follow.

metrics     the metrics page and a probe
service     the admin API on its listener | settings
versions    its routes for versions | doorkeeper: who may use it | digests: Content-Digest
"""

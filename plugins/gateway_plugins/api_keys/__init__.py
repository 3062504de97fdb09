"""API keys: made, listed, rotated and revoked by `gateway keys`, and looked at by every front.

keys       what a key looks like | store: who has which, in a file without any secret
known      the keys as one process knows them | plugin: the hooks | commands: `gateway keys`
"""

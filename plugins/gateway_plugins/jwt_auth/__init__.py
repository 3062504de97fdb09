"""Callers by JWTs of identity providers (OIDC), checked by the whole list of RFC 8725.

tokens         what a token is, before anything in it is believed | keys: what can verify which algorithm
verification   whether an issuer's token is valid now | callers: whose it is and what they may
jwks           an issuer's keys as one process knows them | readers: where they are read from
plugin         the hooks, and the tokens that were valid a moment ago | settings: [plugins.settings.jwt]
"""

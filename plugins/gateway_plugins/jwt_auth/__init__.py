"""Callers by JSON Web Tokens of OpenID Connect providers, as RFC 8725 wants them looked at.

settings       whose tokens, and what they give | tokens: what a token's text is, strictly
key_sets       keys of a provider's document | verification: a token held against one issuer: pure
following      the keys as they are now, fetched in the background | plugin: the hook
"""

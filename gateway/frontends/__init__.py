"""Translators between a protocol and the core's types; one folder each, independent of one another."""

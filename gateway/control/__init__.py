"""Snapshots between processes: what the controller tells its fronts, and what they tell it.

messages    the vocabulary | snapshots: worlds cut into numbered steps that fit a packet
questions   what a front may ask and be answered | parcels: bytes too large for a packet
budget      a number that fronts count down together
views       what the versions of a model have in common, sent once
channel     typed packets with descriptors on an event loop, for either end
settings    which processes there are, and where they listen
"""

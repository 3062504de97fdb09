"""Snapshots between processes: what the controller tells its fronts, and what they tell it."""

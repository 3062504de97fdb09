"""Records to metrics and logs: a subscriber of what happens, never in its way."""

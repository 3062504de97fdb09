"""Commands a person types; each parses, calls, and prints. `app.py` lists them."""

"""Engines, imported by name inside workers only; what each must offer is `contract.py`."""

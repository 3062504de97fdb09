"""The protobuf modules of protos/, made by `python protos/generate.py`; only pool.py is edited by hand."""

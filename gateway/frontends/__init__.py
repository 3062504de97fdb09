"""Protocols at the rim: bytes to InferRequest and InferResponse to bytes, one folder each.

router      path and content type to a protocol
parameters  what request parameters mean, the same for every protocol
content_types   what callers promise of their tensors
observing   trace and log settings by the protocols' names | shared_memory: what is off, and says so
codings     gzip and deflate, with limits | faults: what becomes of an exception
v2_rest     V2 / Open Inference Protocol over HTTP with JSON and the binary tensor extension
v2_grpc     the same over gRPC, with health and reflection

In each folder `codec.py` has exactly `decode` and `encode`, pure functions, and `errors.py` the one
table from reasons to that protocol's status. Nothing below this package knows a status code, a URL
or a protobuf type; nothing in it knows a worker, a queue or a file.
"""

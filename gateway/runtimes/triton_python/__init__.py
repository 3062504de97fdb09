"""Models written for Triton's Python backend (`TritonPythonModel`), as they are.

`utils` is what such a file imports as `triton_python_backend_utils`; `adapter` runs its class. Written
from the documented interface. What differs: requests that were joined reach `execute` as one request
with all their rows (a model without a batch axis gets each alone), so that exactly one response must
come back; a decoupled model gets one request at a time, and an error ends its responses; a request's
id, parameters and priority do not travel to workers; arrays are always on the CPU. What differs of calls of
other models: none can be made in a warm-up, a model that waits for the answer is never called, the response
that ends a decoupled model's and has no tensors is not given, sequences and BF16 inputs cannot be sent.
"""

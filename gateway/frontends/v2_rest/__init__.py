"""V2 / Open Inference Protocol over HTTP: JSON, the binary tensor extension, gzip and deflate.

routes     paths to endpoints | endpoints: what answers
metadata   bodies about server and model | model_config: a model's complete configuration
codec      bodies to InferRequest, InferResponse to bodies
document   JSON text to values, strictly | elements: values to tensor bytes and back
binary     the binary tensor extension | compression: content codings
errors     reasons to HTTP statuses

Called by wire through `Rest`, calls the pipeline. Never blocks and never waits; a body is decoded in
one go on the front's loop, 4 ms for 100,000 numbers in JSON, which is why the JSON part has a limit
of its own. Not done: raw binary requests (Inference-Header-Content-Length: 0), answered with 501;
decompression runs on the loop too, 3 ms for a megabyte.
"""

"""V2 / Open Inference Protocol over HTTP: JSON, the binary tensor extension, gzip and deflate.

routes     paths to endpoints | endpoints: what answers
metadata   bodies about server and model | model_config: a model's complete configuration
openapi    a model's own description of its calls
signed     bodies that need the model's signature to be read
           raw: one tensor and nothing else | generate: plain JSON objects
codec      bodies to InferRequest, InferResponse to bodies
document   JSON text to values, strictly | elements, halves: values to tensor bytes and back
content_types   elements that JSON spells in base64, outputs that say what they are
binary     the binary tensor extension | compression: content codings
setting_calls   traces and logs | fixed: what is off, and says so | post: small JSON bodies
errors     reasons to HTTP statuses | echoes: headers that an answer repeats

Called by wire through `Rest`, calls the pipeline. Never blocks and never waits; a body is decoded in
one go on the front's loop, 4 ms for 100,000 numbers in JSON, which is why the JSON part has a limit
of its own. Decompression runs on the loop too, 3 ms for a megabyte.
"""

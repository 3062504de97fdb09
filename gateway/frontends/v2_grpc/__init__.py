"""V2 / Open Inference Protocol over gRPC, with grpc.health.v1 and reflection.

routes     paths to endpoints | endpoints: what answers | metadata: the calls about server and models
codec      ModelInferRequest to InferRequest, InferResponse to ModelInferResponse
framing    length-prefixed messages, grpc-timeout | errors: reasons to gRPC statuses
setting_calls   traces and logs | fixed: what is off, and says so
health     Check, List, Watch | reflection: v1 and v1alpha
grpcio     the same calls through the official server; imported only where the settings ask for it

Called by wire through `Grpc` on HTTP/2, calls the pipeline. Never blocks and never waits. Everything
that is not offered is UNIMPLEMENTED. A compressed message is expanded on the front's loop, 3 ms for
a megabyte.
"""

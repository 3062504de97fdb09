"""A multi-model inference gateway: one process tree, many lazily loaded models, V2 over REST and gRPC.

Packages, from the rim to the core (an import may only go down):

cli         commands a person types: serve, check, models, plugins, bench
controller  composition root of the control plane; front: of the data plane; workers.child: of a worker
testing     for those who write plugins: a front in one process, without sockets
config      one typed section per package, from file, environment and flags
frontends   protocols: bytes to InferRequest and back, one folder each, independent of one another
pipeline    a request's life, read top to bottom
lifecycle   a model version from absent to ready and back | scheduling: request to batch to instance
control     snapshots between processes | devices: what there is to run on | repository: where models
            come from | workers: processes and their channel | wire: sockets, HTTP/1.1, HTTP/2, TLS |
            telemetry: records to metrics and logs
hooks       the plugin contract, all that plugins know beside core | runtimes: engines, imported by name
            inside workers only
model       what a model.py imports: the base class of models written in Python
core        values and rules | generated: protobuf modules made from protos/
"""

__version__ = "0.1.0"

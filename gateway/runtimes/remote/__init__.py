"""Models that are served elsewhere, by any server of the V2 protocol: `backend: "remote"`.

An *upstream* is that server's model. `target` is what the operator's config.pbtxt says of it, and the
only place a URL ever comes from; `description` is what the upstream says of itself. `caller` is the
actor: it decides by `breaker` (may it be asked now), `retrying` (may it be asked again) and `faults`
(what a failure means), all pure; `over_http` and `over_grpc` are the two ways there, with a codec each.
All of it runs in a worker, on an event loop in a thread of its own: many requests are under way at a time.

A version is a folder that may be empty, or hold the certificates and tokens that the parameters name.

What is not carried: a decoupled upstream is refused when it is loaded, and request parameters, ids and
trace contexts do not reach a worker, so an upstream does not get them.
"""

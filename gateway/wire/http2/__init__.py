"""The server's side of HTTP/2 (RFC 9113), made for many small requests on few connections.

DESIGN: a general HTTP/2 library turns bytes into events and actions into bytes, and pays for that
generality on every frame: hyper-h2 takes 130 us for a unary gRPC call, this package about 6. Three
choices carry that: a request's whole way, from HEADERS to the endpoint, is one loop over one buffer
(`connection`); a header block seen before, under an unchanged table, is a dictionary look-up and not
a parse; an answer's header blocks use nothing but the static table, so that they are constants.

connection  bytes in, endpoints called; limits, deadlines and drain | control: SETTINGS, PING, ...
streams     one request and its Exchange | sending: windows, queues, fairness | receiving: bodies
hpack       header blocks in, huffman below it | heads: fields to a Head | responses: blocks out
frames      layouts, codes and faults | budgets: what a peer may spend on frames that bring no work

Never raises into the event loop, never reads the clock, never knows what a body means.
"""

from gateway.wire.http2.connection import Http2Connection

__all__ = ["Http2Connection"]

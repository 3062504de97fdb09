"""The server's side of HTTP/2 (RFC 9113), made for many small requests on few connections.

DESIGN: a general HTTP/2 library turns bytes into events and actions into bytes, and pays for that
generality on every frame: behind hyper-h2 a unary gRPC call costs 130 us, in this package 3 (10 where
its metadata are new). Three choices carry that: a request's whole way, from HEADERS to the endpoint,
is one loop over one buffer (`reception`); a header block seen before, under an unchanged table, is a
dictionary look-up and not a parse; an answer's header blocks use nothing but the static table, so
that they are constants.

connection  the transport's and the listener's calls, and a connection's ends | deadlines: what in time
reception   bytes to frames to requests | intake: DATA | control: all frames that carry no request
streams     one request and its Exchange | receiving: its body | outgoing, sending: its answer
hpack       header blocks in, huffman below it | blocks, heads: to a routed Head | responses: out
frames      layouts, codes and faults | budgets: what a peer may spend on frames that bring no work

Never raises into the event loop, never reads the clock, never knows what a body means.
"""

from gateway.wire.http2.connection import Http2Connection

__all__ = ["Http2Connection"]

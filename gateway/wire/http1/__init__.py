"""HTTP/1.1 (RFC 9112) on llhttp: heads to endpoints, bodies in, answers out.

head        what a request's head means, or why it is refused; remembered by its bytes
head_reader a connection's heads, from the cache or the parser
body        counting bodies off, gathering them, in shared memory when large | chunked: the coding
incoming    the body of one request on its way to its endpoint
exchange    the answering side | encoding: heads of answers as bytes | outgoing: what is not yet taken
connection  the one owner of a transport, which ties these together | phase: its states
upkeep      its deadlines, swept | deadlines: the decisions | shared: what a listener's connections share
"""

from gateway.wire.http1.connection import Http1Connection
from gateway.wire.http1.head import HeadCache
from gateway.wire.http1.shared import Shared

__all__ = ["HeadCache", "Http1Connection", "Shared"]

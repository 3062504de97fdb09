"""Sockets, HTTP/1.1, HTTP/2, TLS and a bridge to ASGI; knows no protocol above HTTP.

One listener tells HTTP/1.1 from HTTP/2 by ALPN or by the preface. It owns what must be owned below a
handler: deadlines for receiving, limits on sizes and counts, back-pressure, drain. A *service* maps a
request's head to an *endpoint*; the endpoint gets an *exchange* to answer on. `exchange.py` is the
contract; nothing above this package sees a transport.
"""

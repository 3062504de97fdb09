"""A child that tells its arguments over its socket and waits to be ended."""

import signal
import socket
import sys

socket.socket(fileno=int(sys.argv[1])).send(" ".join(sys.argv[2:]).encode())
signal.pause()

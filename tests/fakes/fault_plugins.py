"""A plugin that does at each hook what it is told to by a header of the request: `x-fault: <hook>=<way>`.

Read as text by tests/processes/test_plugins.py and installed as a package; knows only the plugin contract.
"""

import asyncio
import time
from contextlib import asynccontextmanager

from gateway.core.caller import Principal
from gateway.core.measures import Measure
from gateway.core.messages import InferResponse
from gateway.hooks import hookimpl
from gateway.hooks.values import Target

HUGE = 2_000_000
blocked = time.sleep


class Faulty:
    """One way to fail; there is a plugin for each, so that each has breakers of its own."""

    way = ""

    def __init__(self, start):
        pass

    def is_asked(self, hook, headers):
        return (b"x-fault", f"{hook}={self.way}".encode()) in headers

    def fail(self, hook, headers, huge=None):
        if not self.is_asked(hook, headers):
            return None
        if self.way == "raise":
            raise KeyError("canary-secret")
        if self.way == "hang":
            return asyncio.Event().wait()
        if self.way == "block":
            time.sleep(60)
        return huge() if self.way == "huge" and huge is not None else 17

    @hookimpl
    def authenticate(self, credentials):
        return self.fail("authenticate", credentials.headers, lambda: Principal("x" * HUGE))

    @hookimpl
    def transform_request(self, request, caller):
        big = {"big": "x" * 100_000}
        return self.fail("transform_request", caller.headers, lambda: request.with_parameters(big))

    @hookimpl
    def route(self, caller):
        return self.fail("route", caller.headers, lambda: Target("x" * HUGE))

    @hookimpl
    def admit(self, caller):
        return self.fail("admit", caller.headers)

    @hookimpl
    def around_execution(self, caller):
        if self.is_asked("around_execution", caller.headers) and self.way in ("raise", "block"):
            return self.fails_inside()
        return self.fail("around_execution", caller.headers)

    @asynccontextmanager
    async def fails_inside(self):
        if self.way == "block":
            blocked(60)
        raise KeyError("canary-secret")
        yield

    @hookimpl
    def reconsider(self, caller):
        return self.fail("reconsider", caller.headers, lambda: Target("x" * HUGE))

    @hookimpl
    def transform_response(self, response, caller):
        def huge():
            return InferResponse(
                response.model, response.version, response.outputs, "i" * HUGE, lease=response.lease
            )

        return self.fail("transform_response", caller.headers, huge)

    @hookimpl
    def answer_headers(self, headers, caller):
        return self.fail("answer_headers", caller.headers, lambda: ((b"x-big", b"x" * HUGE),))

    @hookimpl
    def on_request(self, record):
        return self.fail(
            "on_request",
            ((b"x-fault", f"on_request={self.way}".encode()),) if record.model == "simple" else (),
        )

    @hookimpl
    def measures(self):
        if self.way == "raise":
            raise KeyError("canary-secret")
        if self.way == "block":
            time.sleep(60)
        if self.way == "huge":
            return (Measure("big", "gauge", 1.0, (("label", "x" * HUGE),)), *many())
        return hangs() if self.way == "hang" else (17,)


async def hangs():
    await asyncio.Event().wait()


def many():
    return [Measure("many", "gauge", 1.0, (("number", str(number)),)) for number in range(1999)]


class Raise(Faulty):
    way = "raise"


class Hang(Faulty):
    way = "hang"


class Block(Faulty):
    way = "block"


class Garbage(Faulty):
    way = "garbage"


class Huge(Faulty):
    way = "huge"


class Anna:
    """Knows everybody, as the last who is asked."""

    def __init__(self, start):
        pass

    @hookimpl(trylast=True)
    def authenticate(self, credentials):
        from gateway.core.caller import Grant, Operation

        return Principal("anna", "shop", (Grant(frozenset(Operation)),))

"""The engine of remote models: an event loop in a thread, and what the worker's own thread says to it."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec

from gateway.core.clock import monotonic_s
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, Call, LoadError, Outcome, OutputMemory, UpstreamCounts, one_line
from gateway.runtimes.remote.caller import Caller
from gateway.runtimes.remote.credentials import Tls, read_tls, read_token
from gateway.runtimes.remote.description import complete
from gateway.runtimes.remote.faults import Fault
from gateway.runtimes.remote.target import OptionRefused, Target, parse
from gateway.runtimes.remote.tensors import Sent
from gateway.runtimes.remote.transport import Transport

# What an upstream has for telling of itself; it may have to load the model first.
DESCRIBE_S = 20.0
_END_S = 2.0
# What the client libraries are called, and by what module they are used.
_TRANSPORTS: Mapping[str, tuple[str, str, str]] = {
    "http": ("aiohttp", "gateway.runtimes.remote.over_http", "HttpTransport"),
    "grpc": ("grpcio", "gateway.runtimes.remote.over_grpc", "GrpcTransport"),
}

T = TypeVar("T")


class RemoteRuntime:
    """Implements contract.Runtime; options are those of `target`."""

    def load(
        self,
        path: Path,
        spec: ModelSpec,
        options: Mapping[str, str],
        *,
        max_batch_known: bool,
        default_max_batch_size: int,
    ) -> RemoteModel:
        """See contract.Runtime."""
        if spec.isolation == "inline":
            raise LoadError("a remote model has a process of its own: gateway.isolation inline")
        try:
            target = parse({key: value for key, value in options.items() if key != "default_model_filename"})
        except OptionRefused as error:
            raise LoadError(str(error)) from None
        tls = read_tls(target, path)
        transport = make_transport(target, target.model or spec.name, tls)
        transport.use_token(read_token(target, path, os.environ))
        loop = LoopThread(f"remote {spec.key}")
        try:
            described = loop.settle(_first_look(transport))
            spec = complete(spec, described, max_batch_known=max_batch_known)
        except BaseException as error:
            loop.settle(transport.close())
            loop.close()
            if isinstance(error, Fault):
                raise LoadError(f"the upstream does not tell of its model: {error.text}") from None
            raise
        spec = msgspec.structs.replace(spec, concurrency=target.max_in_flight)

        def refresh() -> None:
            transport.use_token(read_token(target, path, os.environ))

        caller = Caller(target, transport, monotonic_s, Random(), refresh)
        return RemoteModel(spec, transport, caller, loop)


def make_transport(target: Target, model: str, tls: Tls | None) -> Transport:
    """The client for the target's protocol; raises LoadError where its library is not installed."""
    package, module, name = _TRANSPORTS[target.protocol]
    try:
        made: Transport = getattr(importlib.import_module(module), name)(target, model, tls)
    except ImportError as error:
        raise LoadError(f"{target.protocol} upstreams need '{package}': {one_line(error)}") from None
    return made


async def _first_look(transport: Transport) -> Any:
    await transport.open()
    return await transport.describe(DESCRIBE_S)


class LoopThread:
    """An event loop in a thread of its own, from now until `close`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Has it run there, and returns at once."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def settle(self, work: Coroutine[Any, Any, T]) -> T:
        """What it comes to; must not be called from that thread."""
        return self.begin(work).result()

    def close(self) -> None:
        """Must be called last; cancels what still runs."""
        try:
            self.begin(_cancel_all()).result(_END_S)
        except TimeoutError:
            return  # the thread is a daemon: the process's exit ends it
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_END_S / 2)


class RemoteModel:
    """Implements contract.LoadedModel and contract.ConcurrentModel."""

    def __init__(self, spec: ModelSpec, transport: Transport, caller: Caller, loop: LoopThread) -> None:
        self._spec = spec
        self._transport = transport
        self._caller = caller
        self._loop = loop
        self._asking = loop.begin(caller.keep_asking(spec))

    @property
    def spec(self) -> ModelSpec:
        """See contract.LoadedModel."""
        return self._spec

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel."""
        encoded, wanted = self._encoded(inputs, outputs)
        return self._loop.settle(self._caller.run(encoded, wanted, float("inf")))

    def begin(
        self,
        inputs: Sequence[Array],
        outputs: Sequence[int],
        rows: int,
        timeout_s: float,
        done: Callable[[Outcome], None],
    ) -> Call:
        """See contract.ConcurrentModel."""
        encoded, wanted = self._encoded(inputs, outputs)
        future = self._loop.begin(self._caller.run(encoded, wanted, timeout_s))
        future.add_done_callback(lambda ended: done(_outcome(ended)))
        return RemoteCall(future)

    def counts(self) -> UpstreamCounts:
        """See contract.ConcurrentModel."""
        return self._caller.counts()

    def watch(self, changed: Callable[[str], None]) -> None:
        """See contract.ConcurrentModel."""

        async def watch() -> None:
            self._caller.watch(changed)

        self._loop.settle(watch())

    def close(self) -> None:
        """See contract.LoadedModel."""
        self._asking.cancel()
        with suppress(TimeoutError, Fault):  # the process's exit ends its connections too
            self._loop.begin(self._transport.close()).result(_END_S)
        self._loop.close()

    def _encoded(self, inputs: Sequence[Array], outputs: Sequence[int]) -> tuple[Any, list[TensorSpec]]:
        wanted = [self._spec.outputs[ordinal] for ordinal in outputs]
        named = list(zip(self._spec.inputs, inputs, strict=True))
        return self._transport.encode(Sent(named, wanted)), wanted


class RemoteCall:
    """Implements contract.Call."""

    def __init__(self, future: Future[list[Array]]) -> None:
        self._future = future

    def cancel(self) -> None:
        """See contract.Call."""
        self._future.cancel()


class Abandoned(Exception):
    """The call was cancelled: nobody reads this."""


def _outcome(future: Future[list[Array]]) -> Outcome:
    if future.cancelled():
        return Abandoned("nobody waits for it any more")
    error = future.exception()
    if error is None:
        return future.result()
    return error if isinstance(error, Exception) else Abandoned(type(error).__name__)

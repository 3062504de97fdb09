"""Every hook. A plugin implements any of them, with any of the arguments by name, `def` or `async def`.

Each docstring begins with the mode (contract.Mode) and says when it is called, what a return means and what
is guaranteed. What is not said there: an exception that is no GatewayError, an answer of another type, one
that takes longer than the hook's time, or one that blocks the event loop is a failure of the plugin. It is
counted, and after five within half a minute the plugin is left alone for as long. What a failure means for
the request is the hook's: `fails` closed refuses it with PluginFailed, open goes on without the plugin.
A GatewayError is a decision: whoever asked is told so. All values are frozen, and shared: what a plugin
wants to be different it returns as a new value.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core.admin import AdminAnswer, AdminRequest
from gateway.core.batching import Strategy
from gateway.core.caller import Caller, Credentials, Operation, Principal
from gateway.core.events import Event
from gateway.core.measures import Measure
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.records import RequestRecord
from gateway.hooks.contract import Fails, Mode, Process, hook
from gateway.hooks.values import Headers, Release, Target

if TYPE_CHECKING:
    from typer import Typer

# ---- life -------------------------------------------------------------------------------------------


@hook(Mode.NOTIFY, process=Process.EVERYWHERE, timeout_s=10.0)
def on_start() -> Awaitable[None] | None:
    """[notify] The process is about to serve; its event loop runs, so background tasks can begin here."""


@hook(Mode.NOTIFY, process=Process.EVERYWHERE, timeout_s=5.0)
def on_stop() -> Awaitable[None] | None:
    """[notify] The process has answered its last request; what was begun in `on_start` must end here."""


# ---- who may ----------------------------------------------------------------------------------------


@hook(Mode.FIRST, process=Process.EVERYWHERE, answers=(Principal,))
def authenticate(credentials: Credentials) -> Principal | Awaitable[Principal | None] | None:
    """[first] Who is calling? None declines: no credentials of yours. Raise Unauthenticated to refuse.

    Called before a body is read, at every request, or not again until the answer's `recheck_at` for the same
    headers and certificate. Where any plugin implements this, nobody is let in whom none of them knows.
    """


@hook(Mode.FIRST, process=Process.EVERYWHERE, answers=(bool,))
def authorize(principal: Principal, operation: Operation, model: str) -> bool | Awaitable[bool | None] | None:
    """[first] May they? None declines; where all do, the principal's grants decide.

    Called after routing with the model that would run; "" where the operation is about the whole gateway.
    A model with which a principal may do nothing does not exist for it.
    """


# ---- a request's way --------------------------------------------------------------------------------


@hook(Mode.CHAIN, timeout_s=1.0, answers=(InferRequest,))
def transform_request(
    request: InferRequest, caller: Caller
) -> InferRequest | Awaitable[InferRequest | None] | None:
    """[chain] Another request in place of this one, or None. Called once, before routing.

    The answer is checked against the model's signature like anything that callers send.
    """


@hook(Mode.FIRST, fails=Fails.OPEN, timeout_s=0.05, answers=(Target,))
def route(request: InferRequest, caller: Caller) -> Target | Awaitable[Target | None] | None:
    """[first] Which model and version answers; None declines, and where all do it is the one that was named.

    Called once, before the caller's rights are looked at: those for the target count. A target that is not
    there is an error for the caller, not a reason to ask the next plugin.
    """


@hook(Mode.GATE, answers=(Callable,))  # type: ignore[arg-type]  # an abstract class is a type to isinstance
def admit(request: InferRequest, caller: Caller) -> Release | Awaitable[Release | None] | None:
    """[gate] May it come in now? Raise QuotaExceeded (the caller's limit) or Overloaded (ours), else None.

    A function that is returned is called once when the request has ended, however it did; also when
    another plugin refuses it. Called after routing, with the request for the model that would run.
    """


@hook(Mode.FIRST, fails=Fails.OPEN, timeout_s=60.0, answers=(InferResponse,))
def answer(
    request: InferRequest, version: int, caller: Caller
) -> InferResponse | Awaitable[InferResponse | None] | None:
    """[first] An answer that needs no model; None leaves the request to the model.

    Called after `admit`, not for streams. `version` is the one that would answer, 0 where none is there. The
    answer must hold no lease; it goes through `transform_response` like a model's.
    """


@hook(Mode.AROUND, timeout_s=1.0, answers=(AbstractAsyncContextManager,))
def around_execution(
    request: InferRequest, caller: Caller
) -> AbstractAsyncContextManager[object] | Awaitable[AbstractAsyncContextManager[object] | None] | None:
    """[around] Something to be in while the request waits and runs; left when it has been answered.

    What its exit is given as an exception is the GatewayError that the caller gets, swallowed or not.
    """


@hook(Mode.FIRST, fails=Fails.OPEN, timeout_s=0.05, answers=(Target,))
def reconsider(
    response: InferResponse, request: InferRequest, caller: Caller
) -> Target | Awaitable[Target | None] | None:
    """[first] Another model to ask in place of this answer of one; None where the answer is good enough.

    Called for each model's answer, also the other's, before `transform_response`; not for streams, nor for
    what `answer` gave. The request goes there as if it came anew: rights and `admit` are asked, and it leaves
    a record of its own. Where it is refused or fails, this answer is given. No target is asked twice.
    """


@hook(Mode.CHAIN, timeout_s=1.0, answers=(InferResponse,))
def transform_response(
    response: InferResponse, request: InferRequest, caller: Caller
) -> InferResponse | Awaitable[InferResponse | None] | None:
    """[chain] Another answer in place of this one, or None. Called for each answer; not for errors.

    The lease of the response given must be that of the response returned. For streams it must not be async.
    """


@hook(Mode.CHAIN, fails=Fails.OPEN, timeout_s=0.05, answers=(tuple,))
def answer_headers(headers: Headers, caller: Caller) -> Headers | None:
    """[chain] More headers for an answer over HTTP or gRPC, as pairs of bytes with names in lower case.

    Called before the request is worked on; must not be async. Names that the protocols use are left out.
    """


@hook(Mode.NOTIFY, timeout_s=1.0)
def on_request(record: RequestRecord) -> Awaitable[None] | None:
    """[notify] A request has ended: exactly one record for each, whatever became of it.

    Called after it was answered. Of async implementations a thousand may be under way; more are not called.
    """


@hook(Mode.COLLECT, fails=Fails.OPEN, timeout_s=0.05, answers=(tuple,))
def measures() -> tuple[Measure, ...] | None:
    """[collect] Numbers for the page of metrics, where they are called `gateway_plugin_<plugin>_<name>`.

    Called once a second in each front; must not be async. No more than 2,000 of a plugin; where one of them
    is none (see gateway.core.measures) that is a failure and none of its plugin's are taken. What is given
    once stays on the page at its last value. Labels must not hold what callers can make up.
    """


# ---- what is loaded ---------------------------------------------------------------------------------


@hook(Mode.GATE, process=Process.CONTROLLER, timeout_s=30.0)
def approve_load(model: str, version: int, folder: Path) -> Awaitable[None] | None:
    """[gate] May this version be loaded? Raise a GatewayError that says why not, else None.

    Called whatever asked for it, a request or an operator, once its files are in `folder` and any signature
    was looked at; not again for more instances of it. Who waits for the model is told the reason. A load
    waits for an async one; what takes long and is not async holds up the controller.
    """


@hook(Mode.GATE, process=Process.CONTROLLER, timeout_s=5.0)
def approve_unload(model: str) -> Awaitable[None] | None:
    """[gate] May this model be unloaded on somebody's word? Raise a GatewayError that says why not.

    Not called where it goes because nobody uses it, or others need its memory: it is served all the same.
    """


@hook(Mode.NOTIFY, process=Process.CONTROLLER, timeout_s=30.0)
def on_event(event: Event) -> Awaitable[None] | None:
    """[notify] A version was loaded, failed to load, fell asleep or was evicted, or its worker has died.

    Called in the controller once it has happened. Of async implementations a thousand may be under way; more
    are not called.
    """


@hook(Mode.FIRST, process=Process.CONTROLLER, timeout_s=10.0, answers=(AdminAnswer,))
def administer(request: AdminRequest) -> AdminAnswer | Awaitable[AdminAnswer | None] | None:
    """[first] Answers GET, POST and DELETE of the admin API below /admin/v1/plugins/<plugin>/x/.

    Asked is the plugin of that name alone, for callers with the right admin, in the controller; None is an
    answer for what is not there. What is raised as a GatewayError is the answer. Each change is audited.
    """


# ---- at start ---------------------------------------------------------------------------------------


@hook(Mode.REGISTER, process=Process.CLI, answers=(Mapping,))
def register_commands() -> Mapping[str, Typer]:  # type: ignore[empty-body]
    """[register] Commands for `gateway <name>`, also where the plugin is not used by any configuration."""


@hook(Mode.REGISTER, answers=(Mapping,))
def register_batching() -> Mapping[str, Strategy]:  # type: ignore[empty-body]
    """[register] Functions that form batches, by the name that a model's `gateway.batching` says.

    Their contract is gateway.core.batching: pure, never async. One that breaks it is counted and logged, and
    the requests then go in their order; of two with one name the first plugin's counts.
    """

"""The plugin contract: what a plugin can implement, how it is called, and what becomes of its failures.

A plugin is an object with functions marked by `hookimpl`, named by an entry point of the group
`gateway.plugins`, and used where `plugins.use` names it:

    from gateway.hooks import hookimpl, Start

    class Greeting:
        \"\"\"Says hello in a header.\"\"\"          # what `gateway plugins` tells of it

        Settings = GreetingSettings             # a frozen pydantic model; leave it out where there are none

        def __init__(self, settings: GreetingSettings, start: Start) -> None:
            self.unused = ()                    # hooks that need not be called, as it is configured
            self.direct = {}                    # by hook: a compiled function, given all arguments in order

        @hookimpl
        def answer_headers(self, caller): ...   # any of the arguments of the hook, by name

specs      every hook, with its mode and what is promised | contract: how a spec says so
calling    the modes, sync and async alike | guarding: one implementation and what it may do wrong
breaker    when a plugin is left alone | watch: ends one that blocks the event loop
reference  what `gateway plugins hooks` tells | manager: from names to plugins, in order
settings   [plugins] | running: the plugins of a process
tasks      what runs beside, held until it ends
values     what hooks take and give beside the values of core

Plugins are trusted code: they run in the gateway's processes, and can do what those can.
"""

from __future__ import annotations

from gateway.hooks.contract import hookimpl
from gateway.hooks.values import Start

__all__ = ["Start", "hookimpl"]

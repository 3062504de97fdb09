"""What the values of the hot path share: equality by fields, and that they do not change.

DESIGN: these are plain classes with every field `Final`, which mypy holds, not msgspec's or dataclasses:
compiled, a field of theirs is a load, where one of msgspec's is a look-up by name in its type. A request
makes five of them and reads some fifty fields: a sixteenth of a front's time.
"""

from __future__ import annotations


class Value:
    """Equal to another of its class with equal fields; never changed once made."""

    __slots__ = ()

    def values(self) -> tuple[object, ...]:
        """The fields in the order in which they are given; all of them."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and type(self) is type(other) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash(self.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.values()!r}"

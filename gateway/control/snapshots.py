"""The world as numbered steps: what a front must be told, cut into packets it can hold. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from gateway.control.messages import ModelView, Snapshot

# By model name.
World = Mapping[str, ModelView]

# A packet is at most 128 KiB; 4 KiB are left for the step's own fields.
STEP_BYTES = (128 << 10) - (4 << 10)
TOO_LARGE = "its description is too large"

Item = TypeVar("Item")

_encode = msgspec.msgpack.Encoder().encode


class Delta(NamedTuple):
    """What leads from one world to another."""

    changed: tuple[ModelView, ...]
    removed: tuple[str, ...]


def delta(old: World, new: World) -> Delta:
    """The least that turns `old` into `new`, names ascending."""
    changed = tuple(new[name] for name in sorted(new) if old.get(name) != new[name])
    return Delta(changed, tuple(sorted(old.keys() - new.keys())))


def apply(world: World, step: Snapshot) -> dict[str, ModelView]:
    """The world after `step`."""
    gone = frozenset(step.removed)
    after = {name: view for name, view in world.items() if name not in gone}
    after.update((view.name, view) for view in step.changed)
    return after


def steps(
    number: int, change: Delta, *, complete: bool = True, limit: int = STEP_BYTES
) -> tuple[Snapshot, ...]:
    """`change` as consecutive steps from `number` on, none above `limit` bytes; at least one.

    Only the last step is `complete`, and only if asked to be; a model whose own view is above
    `limit` is shown as broken.
    """
    parts = [*_parts(change, limit)]
    last = len(parts) - 1
    return tuple(
        Snapshot(number + index, part.changed, part.removed, complete=complete and index == last)
        for index, part in enumerate(parts)
    )


def aged(view: ModelView, elapsed_s: float) -> ModelView:
    """`view` told `elapsed_s` after it was made: what is left of the times to wait."""
    if not any(version.retry_in_s for version in view.versions):
        return view
    versions = tuple(
        msgspec.structs.replace(version, retry_in_s=max(0.0, version.retry_in_s - elapsed_s))
        for version in view.versions
    )
    return msgspec.structs.replace(view, versions=versions)


def _parts(change: Delta, limit: int) -> Iterator[Delta]:
    """Removals first: a name that is removed and added again must end as added."""
    names = [(name, len(name) * 4 + 8) for name in change.removed]
    views = [_fitting(view, limit) for view in change.changed]
    if sum(size for _, size in names) + sum(size for _, size in views) <= limit:
        yield Delta(tuple(view for view, _ in views), change.removed)
        return
    for some_names in _fill(names, limit):
        yield Delta((), tuple(some_names))
    for some_views in _fill(views, limit):
        yield Delta(tuple(some_views), ())


def _fitting(view: ModelView, limit: int) -> tuple[ModelView, int]:
    size = len(_encode(view))
    if size <= limit:
        return view, size
    small = ModelView(view.name, (), broken=TOO_LARGE)
    return small, len(_encode(small))


def _fill(items: Iterable[tuple[Item, int]], limit: int) -> Iterator[list[Item]]:
    part: list[Item] = []
    size = 0
    for item, item_bytes in items:
        if part and size + item_bytes > limit:
            yield part
            part, size = [], 0
        part.append(item)
        size += item_bytes
    if part:
        yield part

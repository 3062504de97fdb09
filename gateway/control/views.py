"""What the versions of a model have in common, sent once: a packet must hold all of them. Pure.

A configuration has a kilobyte, class labels have thirty; a model may have a hundred versions. Only
those that still serve with an older configuration have one of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.control.messages import ModelView, VersionView
from gateway.core.model import ModelSpec


def shared(view: ModelView) -> ModelView:
    """`view` with what its highest version has said once, and left out of all that have the same."""
    if not view.versions:
        return view
    highest = view.versions[-1]
    labels = {} if highest.spec is None else highest.spec.class_labels
    if not highest.config and not labels:
        return view
    versions = tuple(
        _left_out(version)
        if version.config == highest.config and (version.spec is None or version.spec.class_labels == labels)
        else version
        for version in view.versions
    )
    return msgspec.structs.replace(view, versions=versions, config=highest.config, class_labels=labels)


def unshared(view: ModelView) -> ModelView:
    """The view that `shared` was given."""
    if not view.config and not view.class_labels:
        return view
    versions = tuple(_filled_in(version, view) if version.is_shared else version for version in view.versions)
    return msgspec.structs.replace(view, versions=versions, config=b"", class_labels={})


def _left_out(version: VersionView) -> VersionView:
    spec = _with_labels(version.spec, {})
    return msgspec.structs.replace(version, config=b"", spec=spec, is_shared=True)


def _filled_in(version: VersionView, view: ModelView) -> VersionView:
    spec = _with_labels(version.spec, view.class_labels)
    return msgspec.structs.replace(version, config=view.config, spec=spec, is_shared=False)


def _with_labels(spec: ModelSpec | None, labels: Mapping[str, tuple[str, ...]]) -> ModelSpec | None:
    return None if spec is None else msgspec.structs.replace(spec, class_labels=labels)

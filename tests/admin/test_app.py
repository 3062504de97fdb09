"""Every operation of the table: it has a route, a description, and a door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.doorkeeper import Doorkeeper
from gateway.admin.openapi import description
from gateway.admin.operations import BASE, OPERATIONS, Operation
from tests.fakes.admin import TOKEN, application
from tests.fakes.asgi import call


def path_of(one: Operation) -> str:
    named = {"model": "m", "version": "1", "label": "stable", "upload": "0" * 32, "file:path": "x"}
    path = BASE + one.path
    for name, value in named.items():
        path = path.replace(f"{{{name}}}", value)
    return path


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_who_has_no_right_learns_nothing(operation: Operation, tmp_path: Path) -> None:
    for doorkeeper, status in ((None, 401), (Doorkeeper("", is_open=False), 403)):
        answer = call(application(tmp_path, doorkeeper), operation.method, path_of(operation), {})
        assert answer.status == status
        assert set(json.loads(answer.body)) == {"error", "code"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_route_is_described_and_the_other_way_round(operation: Operation, tmp_path: Path) -> None:
    routes = {(route.name, tuple(sorted(route.methods))) for route in application(tmp_path).routes}  # type: ignore[attr-defined]
    assert len(routes) == len(OPERATIONS)
    assert any(name == operation.name and operation.method in methods for name, methods in routes)
    told = description()
    described = told["paths"][BASE + operation.path.replace(":path", "")][operation.method.lower()]
    assert described["operationId"] == operation.name
    needed = [one["name"] for one in described["parameters"] if one["in"] == "header" and one["required"]]
    assert ("If-Match" in needed) == operation.needs_tag


def test_the_description_is_whole(tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = call(application(tmp_path), "GET", f"{BASE}/openapi.json", headers)
    told = json.loads(answer.body)
    assert told == description()
    assert told["openapi"] == "3.1.0"
    for reference in references(told):
        name = reference.removeprefix("#/components/schemas/")
        assert name in told["components"]["schemas"], reference


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"]] if "$ref" in value else []
        return here + [one for inner in value.values() for one in references(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in references(inner)]
    return []

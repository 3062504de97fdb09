"""The description of the admin API in OpenAPI 3.1, made of the table that its routes are made of."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway import __version__
from gateway.admin.documents import Refusal
from gateway.admin.operations import BASE, OPERATIONS, Operation

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_REFUSALS = {
    "400": "What was sent is not sound.",
    "401": "The token is needed.",
    "403": "Not from here.",
    "404": "It is not there.",
    "409": "It contradicts what is there.",
    "413": "It is too large.",
    "503": "Not now.",
    "507": "The disk is full.",
}
_CONDITIONS = {"412": "It is another by now.", "428": "If-Match is needed."}


def description() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(BASE + _PARAMETER.sub(r"{\1}", one.path), {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Model gateway: admin API", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(one: Operation) -> dict[str, Any]:
    refusals = _REFUSALS | (_CONDITIONS if one.needs_tag or "If-Match" in one.headers else {})
    answers = {
        str(status): {"description": "Done.", **_content(body)} for status, body in one.answers.items()
    }
    refused = {status: {"description": text, **_content(Refusal)} for status, text in refusals.items()}
    told: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": _parameters(one),
        "responses": answers | refused,
    }
    if one.sent is not None:
        told["requestBody"] = {"required": True, **_content(one.sent)}
    return told


def _parameters(one: Operation) -> list[dict[str, Any]]:
    text = {"type": "string"}
    names = _PARAMETER.findall(one.path)
    named = [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
    headers = dict.fromkeys(one.headers, one.name == "send_file")
    if one.needs_tag:
        headers["If-Match"] = True
    return named + [
        {"name": name, "in": "header", "required": needed, "schema": text} for name, needed in headers.items()
    ]


def _content(body: type[BaseModel] | str | None) -> dict[str, Any]:
    if body is None:
        return {}
    if isinstance(body, str):
        return {"content": {body: {"schema": {"type": "string"}}}}
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {"content": {"application/json": {"schema": schema}}}


def _schemas() -> dict[str, Any]:
    bodies = [one.sent for one in OPERATIONS] + [body for one in OPERATIONS for body in one.answers.values()]
    kinds = {body: None for body in [*bodies, Refusal] if isinstance(body, type)}
    _, found = models_json_schema(
        [(kind, "serialization") for kind in kinds], ref_template="#/components/schemas/{model}"
    )
    return dict(found["$defs"])

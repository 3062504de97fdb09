"""Every operation of the admin API: the routes are made of this table, and so is their description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel

from gateway.admin import documents as d
from gateway.core.caller import Operation as Right

BASE = "/admin/v1"
OCTETS, TEXT, JSON = "application/octet-stream", "text/plain", "application/json"
_MODEL = "/models/{model}"
_VERSION = _MODEL + "/versions/{version}"
_LABEL = _MODEL + "/labels/{label}"
_UPLOAD = "/uploads/{upload}"
_FILE = _UPLOAD + "/files/{file:path}"
_PLUGIN = "/plugins/{plugin}/settings"
_OWN = "/plugins/{plugin}/x/{path:path}"


class Operation(NamedTuple):
    """One route. `sent` is the body's document, or its media type; `needs_tag`: If-Match must be sent."""

    name: str
    method: str
    path: str
    summary: str
    answers: Mapping[int, type[BaseModel] | str | None]
    sent: type[BaseModel] | str | None = None
    needs_tag: bool = False
    headers: tuple[str, ...] = ()


OPERATIONS: tuple[Operation, ...] = (
    Operation("list_models", "GET", "/models", "All models and how they are served.", {200: d.Models}),
    Operation("get_model", "GET", _MODEL, "One model; its ETag changes with its files.", {200: d.ModelState}),
    Operation("delete_model", "DELETE", _MODEL, "Removes a model.", {204: None}, needs_tag=True),
    Operation("load_model", "POST", _MODEL + "/load", "Loads it; answered once it is ready.", {204: None}),
    Operation(
        *("unload_model", "POST", _MODEL + "/unload", "Serves it no more until it is loaded."),
        {204: None},
        d.Unload,
    ),
    Operation("get_config", "GET", _MODEL + "/config", "Its config.pbtxt.", {200: TEXT}),
    Operation(
        *("put_config", "PUT", _MODEL + "/config", "Its config.pbtxt from now on: checked, then replaced."),
        {200: None, 201: None},
        TEXT,
        headers=("If-Match",),
    ),
    Operation("get_labels", "GET", _MODEL + "/labels", "Labels that were moved.", {200: d.Labels}),
    Operation(
        *("put_label", "PUT", _LABEL, "The label names that version from now on."),
        {200: d.Labels},
        d.LabelTarget,
        headers=("If-Match",),
    ),
    Operation("delete_label", "DELETE", _LABEL, "Back to config.pbtxt's.", {204: None}, needs_tag=True),
    Operation(
        *("put_version", "PUT", _VERSION, "A version as tar, tar.gz or zip; it appears whole."),
        {200: d.Version, 201: d.Version},
        OCTETS,
        headers=("Content-Digest",),
    ),
    Operation("get_version", "GET", _VERSION, "The files of a version.", {200: d.Version}),
    Operation("delete_version", "DELETE", _VERSION, "Removes a version.", {204: None}, needs_tag=True),
    Operation(
        *("begin_upload", "POST", "/uploads", "Begins an upload that may be broken off and go on."),
        {201: d.Upload},
        d.UploadPlan,
    ),
    Operation("get_upload", "GET", _UPLOAD, "How far it is.", {200: d.Upload}),
    Operation(
        *("send_file", "PATCH", _FILE, "Appends to a file of it, from Upload-Offset on."),
        {204: None},
        OCTETS,
        headers=("Upload-Offset",),
    ),
    Operation(
        *("finish_upload", "POST", _UPLOAD + "/finish", "Checks the digests and shows the version."),
        {200: d.Version, 201: d.Version},
    ),
    Operation("abandon_upload", "DELETE", _UPLOAD, "Forgets it and what it has.", {204: None}),
    Operation("list_plugins", "GET", "/plugins", "The plugins in use.", {200: d.Plugins}),
    Operation("get_plugin", "GET", _PLUGIN, "The settings of one that can change.", {200: JSON}),
    Operation("put_plugin", "PUT", _PLUGIN, "Whole new settings, now.", {200: JSON}, JSON, needs_tag=True),
    Operation("get_of_plugin", "GET", _OWN, "What a plugin has of its own.", {200: JSON}),
    Operation("post_to_plugin", "POST", _OWN, "Has a plugin do something.", {200: JSON, 201: JSON}, JSON),
    Operation("delete_of_plugin", "DELETE", _OWN, "Removes something of a plugin's.", {200: JSON}),
    Operation("describe", "GET", "/openapi.json", "This description.", {200: "application/json"}),
)

# What a caller with a key needs for the model; for all others it is enough that the model exists for them.
RIGHTS: Mapping[str, Right] = {
    **dict.fromkeys(("load_model", "unload_model"), Right.LOAD),
    **dict.fromkeys(("delete_model", "put_config", "put_version", "delete_version"), Right.UPLOAD),
    **dict.fromkeys(("begin_upload", "get_upload", "send_file"), Right.UPLOAD),
    **dict.fromkeys(("finish_upload", "abandon_upload"), Right.UPLOAD),
    **dict.fromkeys(("put_label", "delete_label"), Right.ROLLOUT),
    **dict.fromkeys(("list_plugins", "get_plugin", "put_plugin"), Right.ADMIN),
    **dict.fromkeys(("get_of_plugin", "post_to_plugin", "delete_of_plugin"), Right.ADMIN),
}

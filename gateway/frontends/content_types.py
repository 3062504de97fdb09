"""What `content_type` says of a request and its tensors, as MLServer's clients mean it; any protocol's.

DESIGN: MLServer decodes a tensor to what its content type names before a model sees it. Here tensors
stay tensors, so a content type is a promise of the caller about what is in them, and it is kept to
its word: "str" are texts, "datetime" dates of ISO 8601, "pd_json" JSON, and the inputs of a "pd" request
are columns of one table. Nothing is reshaped. An answer is labelled in the same words (REST only).

A name that is not known here is refused, for a typing error would else pass as other values: MLServer
passes it over. A name with a slash is a media type of the caller's own, for Triton leaves all
parameters to callers, and means nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import Buffer, Tensor, iterate_bytes_elements

CONTENT_TYPE = "content_type"
NUMPY, TABLE, TEXT, BASE64, DATETIME, JSON = "np", "pd", "str", "base64", "datetime", "pd_json"
OF_REQUESTS = (NUMPY, TABLE, TEXT)
OF_TENSORS = (NUMPY, TEXT, BASE64, DATETIME, JSON)

# The longest that isoformat() writes has 32 characters.
_MAX_DATE = 64
# fromisoformat also takes dates without hyphens and weeks, which MLServer's clients read back as well.
_DATE = re.compile(rb"[0-9][0-9TWZ:.,+ -]*")


class InputTypes(NamedTuple):
    """The content types of one request: its own, and by name those that its inputs have of their own."""

    request: str
    inputs: Mapping[str, str]


def request_type(value: object) -> str:
    """A request's content type, "" for a media type; raises InvalidInput for one that is not for requests."""
    return _known("parameter 'content_type'", value, OF_REQUESTS, "a request")


def tensor_type(where: str, value: object) -> str:
    """The same of the input or output `where`; raises InvalidInput for one that is not for tensors."""
    return _known(f"{where}: content_type", value, OF_TENSORS, "a tensor")


def _known(what: str, value: object, known: tuple[str, ...], whose: str) -> str:
    if isinstance(value, str):
        if value in known:
            return value
        if "/" in value:
            return ""
    told = ascii(value[:40]) if isinstance(value, str) else "no string"
    raise InvalidInput(f"{what} is {told}, that of {whose} is one of {', '.join(known)}, or a media type")


def read_types(request: object, inputs: Iterable[tuple[str, object]]) -> InputTypes | None:
    """The types of a request and of those `inputs` that have one; None where nobody says anything."""
    own = {name: tensor_type(f"input '{name}'", value) for name, value in inputs}
    whole = "" if request is None else request_type(request)
    return InputTypes(whole, own) if whole or own else None


# ---- in -------------------------------------------------------------------------------------------


def check_inputs(types: InputTypes, tensors: Sequence[Tensor]) -> None:
    """Raises InvalidInput, naming tensor and element, for an input that is not what its type says."""
    if types.request == TABLE:
        _check_table(tensors)
    for tensor in tensors:
        check_tensor(f"input '{tensor.name}'", types.inputs.get(tensor.name, types.request), tensor)


def _check_table(tensors: Sequence[Tensor]) -> None:
    """Columns of vectors are columns too, as in MLServer; what counts is the number of rows."""
    for tensor in tensors:
        if tensor.shape[:1] != tensors[0].shape[:1] or not tensor.shape:
            raise InvalidInput(
                f"content_type 'pd': input '{tensor.name}' of shape {list(tensor.shape)} is no column of "
                f"as many rows as input '{tensors[0].name}' of shape {list(tensors[0].shape)}"
            )


def check_tensor(where: str, content_type: str, tensor: Tensor) -> None:
    """Raises InvalidInput unless the elements of `tensor` are what `content_type` says."""
    if content_type not in _OF_BYTES:
        return
    if tensor.dtype is not DType.BYTES:
        raise InvalidInput(
            f"{where}: content_type '{content_type}' is for BYTES, not for {tensor.dtype.name}"
        )
    is_right, what = _OF_BYTES[content_type]
    for index, element in enumerate(iterate_bytes_elements(tensor.name, tensor.data)):
        if not is_right(element):
            raise InvalidInput(f"{where}: element {index} is not {what}")


def _is_text(element: Buffer) -> bool:
    try:
        str(element, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_date(element: Buffer) -> bool:
    if len(element) > _MAX_DATE or not _DATE.fullmatch(element):
        return False
    try:
        datetime.fromisoformat(str(element, "ascii"))
    except ValueError:
        return False
    return True


def _is_json(element: Buffer) -> bool:
    try:
        orjson.loads(element)
    except orjson.JSONDecodeError:
        return False
    return True


_OF_BYTES: Mapping[str, tuple[Callable[[Buffer], bool], str]] = {
    TEXT: (_is_text, "UTF-8 text"),
    DATETIME: (_is_date, "a date and time as in ISO 8601"),
    JSON: (_is_json, "JSON"),
    # Spelled in JSON only, where it is decoded; bytes as they stand spell nothing.
    BASE64: (lambda element: True, ""),
}


# ---- out ------------------------------------------------------------------------------------------


class OutputTypes(NamedTuple):
    """How an answer is labelled: what the request is, and what was asked of outputs by name."""

    request: str
    outputs: Mapping[str, str]

    def of_answer(self, count: int) -> str:
        """The label of an answer of `count` outputs: of "np" and "str" there can be only one."""
        return self.request if self.request == TABLE or count == 1 else ""

    def of_output(self, output: Tensor) -> str:
        """The label of `output`, "" for none; raises InvalidInput where it is not what was asked for."""
        asked = self.outputs.get(output.name, "")
        if asked:
            check_tensor(f"output '{output.name}'", asked, output)
            return asked
        if self.request == NUMPY:
            return NUMPY
        is_text = self.request in {TABLE, TEXT} and output.dtype is DType.BYTES
        return TEXT if is_text else ""

"""What an element of BYTES is, where a tensor's `content_type` says so: text, or text that spells bytes.

JSON strings are the elements as they stand, which is what "str" and "datetime" mean, and numbers are
numbers ("np", "pd"). Only "base64" asks for work: with it JSON carries bytes that are no text, in an
input and, where it is asked of an output, in the answer. Binary tensors need none of this.
"""

from __future__ import annotations

import base64
import binascii

import orjson

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import Tensor, iterate_bytes_elements, serialise_bytes_elements

CONTENT_TYPE = "content_type"
BASE64 = "base64"


def from_base64(name: str, dtype: DType, data: bytes) -> bytes:
    """The elements that those of `data` spell; raises InvalidInput."""
    if dtype is not DType.BYTES:
        raise InvalidInput(f"input '{name}': content_type 'base64' is for BYTES, not for {dtype.name}")
    try:
        return serialise_bytes_elements([
            base64.b64decode(element, validate=True) for element in iterate_bytes_elements(name, data)
        ])
    except binascii.Error:
        raise InvalidInput(f"input '{name}': an element is not base64") from None


def dump_base64(output: Tensor) -> bytes:
    """The JSON members of an output whose elements are to be spelled; raises InvalidInput."""
    if output.dtype is not DType.BYTES:
        raise InvalidInput(
            f"output '{output.name}': content_type 'base64' is for BYTES, not for {output.dtype.name}"
        )
    elements = [
        base64.b64encode(element).decode() for element in iterate_bytes_elements(output.name, output.data)
    ]
    return b'"parameters":{"content_type":"base64"},"data":%b}' % orjson.dumps(elements)

"""Tensors with a content type in JSON: BYTES that are spelled in base64, and outputs that say what they are.

JSON strings are the elements as they stand; only "base64" asks for work: with it JSON carries bytes
that are no text, in an input and, where it is asked of an output, in the answer. Binary tensors need
none of this.
"""

from __future__ import annotations

import base64
import binascii

import orjson

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import Tensor, iterate_bytes_elements, serialise_bytes_elements
from gateway.frontends.content_types import BASE64, OutputTypes
from gateway.frontends.v2_rest.elements import dump_elements


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


def dump_labelled(labels: OutputTypes, output: Tensor) -> bytes:
    """The members of an output in JSON but for its head; raises InvalidInput for a label that is wrong."""
    label = labels.of_output(output)
    if label == BASE64:
        return _dump_base64(output)
    told = b'"parameters":{"content_type":"%b"},' % label.encode() if label else b""
    return b'%b"data":%b}' % (told, dump_elements(output))


def binary_label(labels: OutputTypes, output: Tensor) -> bytes:
    """What stands before `binary_data_size` among the parameters of an output; raises InvalidInput."""
    label = labels.of_output(output)
    return b'"content_type":"%b",' % label.encode() if label else b""


def _dump_base64(output: Tensor) -> bytes:
    elements = [
        base64.b64encode(element).decode() for element in iterate_bytes_elements(output.name, output.data)
    ]
    return b'"parameters":{"content_type":"base64"},"data":%b}' % orjson.dumps(elements)

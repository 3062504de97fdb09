"""A model configuration as JSON, the form in which a load may bring one, to config.pbtxt.

protobuf's JSON: field names as in the schema or in camel case, enums by name, numbers perhaps as text.
What comes out is read as if it had stood in the folder, so that both forms mean the same.
"""

from __future__ import annotations

from google.protobuf import json_format, text_format

from gateway.core.errors import InvalidInput
from gateway.generated import model_config_pb2 as pb
from gateway.repository import pbtxt
from gateway.repository.refusal import ConfigRefused

# The schema is five messages deep; only nonsense nests deeper.
_MAX_DEPTH = 20


def to_pbtxt(text: str, model: str) -> bytes:
    """`text` as the config.pbtxt of `model`; raises InvalidInput with what is wrong with it."""
    if len(text) > pbtxt.MAX_CONFIG_BYTES:
        raise InvalidInput(f"config: is larger than {pbtxt.MAX_CONFIG_BYTES} bytes")
    # protobuf's parser takes an empty list for an empty message.
    if not text.lstrip().startswith("{"):
        raise InvalidInput("config: must be a JSON object")
    try:
        message = json_format.Parse(text, pb.ModelConfig(), max_recursion_depth=_MAX_DEPTH)
    except (json_format.ParseError, RecursionError, UnicodeError) as error:
        raise InvalidInput(f"config: {_brief(str(error))}") from None
    data = text_format.MessageToString(message).encode()
    try:
        pbtxt.parse(data, model)
    except ConfigRefused as error:
        raise InvalidInput(error.text.replace("config.pbtxt", "config", 1)) from None
    return data


def _brief(text: str) -> str:
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= 200 else f"{line[:197]}..."

"""Rows of the table: what a request says of its tensors is kept to, by every door alike."""

from __future__ import annotations

import numpy as np

from tests.conformance.cases import BINARY, Case, Failure, fp32, int32, texts

_X = fp32(1, 2)
_WORDS, _DATES = texts("X", "grüße".encode()), texts("X", b"2024-02-29T12:00:00", b"2024-03-01")
_PAIR = tuple(int32(f"INPUT{i}", np.zeros((2, 16))) for i in (0, 1))
_ZEROS = np.zeros((2, 16), "<i4").tobytes()
_INVALID = "INVALID_INPUT"

CONTENT_TYPES = (
    Case("an array", "echo_fp32", (_X._replace(content_type="np"),), answer={"Y": _X.raw}),
    Case("an array by the request", "echo_fp32", (_X,), content_type="np", answer={"Y": _X.raw}),
    Case("text", "echo_bytes", (_WORDS._replace(content_type="str"),), answer={"Y": _WORDS.raw}),
    Case("text by the request", "echo_bytes", (_WORDS,), content_type="str", answer={"Y": _WORDS.raw}),
    Case("dates", "echo_bytes", (_DATES._replace(content_type="datetime"),), answer={"Y": _DATES.raw}),
    Case("a table", "simple", _PAIR, content_type="pd", answer={"OUTPUT0": _ZEROS, "OUTPUT1": _ZEROS}),
    Case(
        "a media type of the caller's own",
        "echo_fp32",
        (_X._replace(content_type="image/png"),),
        content_type="multipart/mixed",
        answer={"Y": _X.raw},
    ),
    Case(
        "what is no date",
        "echo_bytes",
        (texts("X", b"2024-02-29", b"soon")._replace(content_type="datetime"),),
        failure=Failure(_INVALID, "input 'X': element 1 is not a date and time as in ISO 8601"),
    ),
    Case(
        "what is no text",
        "echo_bytes",
        (texts("X", b"\xff")._replace(content_type="str"),),
        failure=Failure(_INVALID, "input 'X': element 0 is not UTF-8 text"),
        doors=BINARY,
    ),
    Case(
        "numbers that are said to be text",
        "echo_fp32",
        (_X,),
        content_type="str",
        failure=Failure(_INVALID, "input 'X': content_type 'str' is for BYTES, not for FP32"),
    ),
    Case(
        "columns of different rows",
        "simple",
        (int32("INPUT0", np.zeros((1, 16))), int32("INPUT1", np.zeros((2, 16)))),
        content_type="pd",
        failure=Failure(_INVALID, "content_type 'pd': input 'INPUT1' of shape [2, 16] is no column"),
    ),
    Case(
        "a content type that nobody knows",
        "echo_fp32",
        (_X._replace(content_type="bse64"),),
        failure=Failure(_INVALID, "input 'X': content_type is 'bse64', that of a tensor is one of np, str"),
    ),
    Case(
        "a request's content type that nobody knows",
        "echo_fp32",
        (_X,),
        content_type="hg_json",
        failure=Failure(_INVALID, "'hg_json', that of a request is one of np, pd, str, or a media type"),
    ),
)

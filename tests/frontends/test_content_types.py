from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.frontends.content_types import (
    OF_REQUESTS,
    OF_TENSORS,
    InputTypes,
    OutputTypes,
    check_inputs,
    check_tensor,
    read_types,
    request_type,
    tensor_type,
)


def texts(*elements: bytes, name: str = "x") -> Tensor:
    return Tensor(name, DType.BYTES, (len(elements), 1), serialise_bytes_elements(elements))


def column(name: str, *shape: int) -> Tensor:
    return Tensor(name, DType.INT8, shape, b"")


def test_names_that_are_known_and_media_types() -> None:
    assert [request_type(name) for name in OF_REQUESTS] == list(OF_REQUESTS)
    assert [tensor_type("input 'x'", name) for name in OF_TENSORS] == list(OF_TENSORS)
    assert request_type("image/jpeg") == tensor_type("input 'x'", "application/json; charset=utf-8") == ""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            "bse64",
            "is 'bse64', that of a tensor is one of np, str, base64, datetime, pd_json, or a media type",
        ),
        ("pd", "is 'pd', that of a tensor"),
        ("", "is '', that of"),
        (5, "is no string, that of"),
        ("\ud800", r"is '\\ud800', that of"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_those_that_are(value: object, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as caught:
        tensor_type("input 'x'", value)
    assert caught.value.text.startswith("input 'x': content_type is ")
    caught.value.text.encode()


@pytest.mark.parametrize("value", ["base64", "datetime", "pd_json", "hg_json", None])
def test_a_request_has_types_of_its_own(value: object) -> None:
    with pytest.raises(InvalidInput, match="that of a request is one of np, pd, str, or a media type"):
        request_type(value)


def test_nothing_is_said_where_nobody_says_anything() -> None:
    assert read_types(None, ()) is None
    assert read_types("image/png", ()) is None
    assert read_types("np", ()) == InputTypes("np", {})
    assert read_types(None, [("x", "str")]) == InputTypes("", {"x": "str"})
    with pytest.raises(InvalidInput, match="input 'y': content_type is 'pd'"):
        read_types("np", [("x", "str"), ("y", "pd")])


@pytest.mark.parametrize(
    "date",
    [
        b"2024-02-29",
        b"2024-02-29T23:59:59",
        b"2024-02-29 23:59:59.123456+02:00",
        b"2024-02-29T23:59:59Z",
        b"20240229T235959",
    ],
)
def test_dates(date: bytes) -> None:
    check_tensor("input 'x'", "datetime", texts(date, date))


@pytest.mark.parametrize(
    "text", [b"", b"2023-02-29", b"yesterday", b"12:00", b"2024-02-29T25:00", b"\xff", b"2" * 65]
)
def test_what_is_no_date_is_named(text: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^input 'x': element 1 is not a date and time as in ISO 8601$"):
        check_inputs(InputTypes("", {"x": "datetime"}), [texts(b"2024-02-29", text)])


def test_texts_and_json() -> None:
    for content_type, right, wrong, what in (
        ("str", "ü".encode(), b"\xff", "UTF-8 text"),
        ("pd_json", b'{"a": [1]}', b"{", "JSON"),
    ):
        check_tensor("input 'x'", content_type, texts(right))
        with pytest.raises(InvalidInput, match=f"element 0 is not {what}"):
            check_tensor("input 'x'", content_type, texts(wrong))


@pytest.mark.parametrize("content_type", ["str", "datetime", "pd_json", "base64"])
def test_most_are_for_bytes(content_type: str) -> None:
    with pytest.raises(InvalidInput, match=f"content_type '{content_type}' is for BYTES, not for INT8"):
        check_tensor("input 'x'", content_type, column("x", 1))
    check_tensor("input 'x'", "np", column("x", 1))


def test_an_input_s_own_type_comes_before_that_of_the_request() -> None:
    number = column("n", 1)
    with pytest.raises(InvalidInput, match=r"input 'n': content_type 'str' is for BYTES"):
        check_inputs(InputTypes("str", {}), [texts(b"a"), number])
    check_inputs(InputTypes("str", {"n": "np"}), [texts(b"a"), number])


def test_a_table_has_as_many_rows_in_every_column() -> None:
    table = InputTypes("pd", {})
    check_inputs(table, [column("a", 3), column("b", 3, 1), column("c", 3, 7)])
    for shape in ((2, 1), (), (1, 3)):
        with pytest.raises(
            InvalidInput, match=r"input 'b' of shape .* is no column of as many rows as input 'a'"
        ):
            check_inputs(table, [column("a", 3), column("b", *shape)])
    check_inputs(table, [])


def test_labels() -> None:
    number, text = column("n", 1), texts(b"a")
    for request, answer, outputs in (
        ("np", "np", ["np", "np"]),
        ("str", "str", ["", "str"]),
        ("pd", "pd", ["", "str"]),
        ("", "", ["", ""]),
    ):
        labels = OutputTypes(request, {})
        assert labels.of_answer(1) == answer
        assert labels.of_answer(2) == (answer if request == "pd" else "")
        assert [labels.of_output(one) for one in (number, text)] == outputs
    asked = OutputTypes("np", {"x": "str"})
    assert asked.of_output(text) == "str"

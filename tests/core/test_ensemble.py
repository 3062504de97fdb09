"""Graphs of models: which are sound, what is said of those that are not, and what runs first."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.ensemble import Part, fault_of_graph, fault_of_parts, fitted_shape, needed_steps
from gateway.core.tensor_spec import TensorSpec
from tests.fakes.ensembles import DIAMOND, Row, fp32, graph_of

A = ("a", {"x": "in"}, {"y": "t"})
SOUND: dict[str, tuple[Row, ...]] = {
    "one": (("a", {"x": "in"}, {"y": "out"}),),
    "written backwards": (("b", {"x": "t"}, {"y": "out"}), A),
    "a tensor twice": (A, ("b", {"x": "t", "z": "t"}, {"y": "out"})),
    "an output that is an input too": (("a", {"x": "in"}, {"y": "out"}), ("b", {"x": "out"}, {"y": "t"})),
    "a tensor that nobody needs": (("a", {"x": "in"}, {"y": "out", "z": "t"}),),
    "a diamond": DIAMOND,
}
BROKEN: dict[str, tuple[tuple[Row, ...], str]] = {
    "made twice": (
        (A, ("b", {"x": "in"}, {"y": "t"}), ("c", {"x": "t"}, {"y": "out"})),
        "tensor 't' is made 2 times: by step 0 (model 'a') and step 1 (model 'b')",
    ),
    "made twice by one": (
        (("a", {"x": "in"}, {"y": "out", "z": "out"}),),
        "tensor 'out' is made 2 times: by step 0 (model 'a') and step 0 (model 'a')",
    ),
    "an input that is made": (
        (("a", {"x": "in"}, {"y": "in", "z": "out"}),),
        "tensor 'in' is an input of the ensemble and an output of step 0 (model 'a')",
    ),
    "made by nobody": (
        (A, ("b", {"x": "t", "z": "u"}, {"y": "out"})),
        "step 1 (model 'b'): nothing makes tensor 'u', its input 'z'",
    ),
    "an output made by nobody": ((A,), "no step makes the output 'out'"),
    "an unused input": ((("a", {"x": "out"}, {"y": "out"}),), "no step uses the input 'in'"),
    "a step that waits for itself": (
        (("a", {"x": "in", "z": "out"}, {"y": "out"}),),
        "the steps form a circle: step 0 (model 'a') waits for step 0 (model 'a')",
    ),
    "a circle": (
        (
            ("start", {"x": "in"}, {"y": "s"}),
            ("a", {"x": "s", "z": "v"}, {"y": "t"}),
            ("b", {"x": "t"}, {"y": "u"}),
            ("c", {"x": "u"}, {"y": "v"}),
            ("end", {"x": "v"}, {"y": "out"}),
        ),
        "the steps form a circle: step 1 (model 'a') waits for step 3 (model 'c') waits for "
        "step 2 (model 'b') waits for step 1 (model 'a')",
    ),
    "a circle beside the way": (
        (
            ("a", {"x": "in"}, {"y": "out"}),
            ("b", {"x": "in", "z": "u"}, {"y": "t"}),
            ("c", {"x": "t"}, {"y": "u"}),
        ),
        "the steps form a circle: step 1 (model 'b') waits for step 2 (model 'c') waits for "
        "step 1 (model 'b')",
    ),
}


@pytest.mark.parametrize("rows", SOUND.values(), ids=list(SOUND))
def test_sound_graphs(rows: tuple[Row, ...]) -> None:
    assert fault_of_graph(graph_of(rows), ["in"], ["out"]) == ""


@pytest.mark.parametrize(("rows", "fault"), BROKEN.values(), ids=list(BROKEN))
def test_broken_graphs_and_what_is_said_of_them(rows: tuple[Row, ...], fault: str) -> None:
    assert fault_of_graph(graph_of(rows), ["in"], ["out"]) == fault


@given(st.permutations(range(6)), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_a_graph_is_a_circle_or_has_an_order(order: list[int], edges: list[tuple[int, int]]) -> None:
    """Against the definition: with every edge from an earlier to a later step there is no circle."""
    reads = {step: {f"t{source}" for source, target in edges if target == step} for step in range(6)}
    rows = [
        ("m", {"in": "in", **{tensor: tensor for tensor in reads[step]}}, {"y": f"t{step}"})
        for step in range(6)
    ]
    forward = all(order.index(source) < order.index(target) for source, target in edges)
    fault = fault_of_graph(graph_of(rows), ["in"], ["t0"])
    assert "circle" in fault or not fault
    if forward:
        assert not fault
    if any(source == target or (target, source) in edges for source, target in edges):
        assert fault.startswith("the steps form a circle: step ")


def test_only_what_is_asked_for_is_needed() -> None:
    graph = graph_of((
        ("a", {"x": "in"}, {"y": "s"}),
        ("b", {"x": "s"}, {"y": "t"}),
        ("c", {"x": "s"}, {"y": "u", "z": "v"}),
        ("d", {"x": "in", "y": "v"}, {"y": "w"}),
    ))
    assert needed_steps(graph, ["t"]) == (0, 1)
    assert needed_steps(graph, ["u"]) == (0, 2)
    assert needed_steps(graph, ["w"]) == (0, 2, 3)
    assert needed_steps(graph, ["t", "w"]) == (0, 1, 2, 3)


# ---- parts ----------------------------------------------------------------------------------------

CHAIN = graph_of((("a", {"x": "in"}, {"y": "t"}), ("b", {"x": "t"}, {"y": "out"})))


def ints(name: str, dims: tuple[int, ...] = (2,)) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name, DType.INT32, dims),)


def whole(rows: int = 0, dims: tuple[int, ...] = (2,)) -> Part:
    return Part(fp32("in", dims=dims), fp32("out", dims=dims), rows)


def part(rows: int | None = 0, dims: tuple[int, ...] = (2,)) -> Part:
    return Part(fp32("x", dims=dims), fp32("y", dims=dims), rows)


FITTING = {
    "alike": (whole(), part(), part()),
    "in batches": (whole(4), part(4), part(64)),
    "nothing known": (whole(4), None, Part()),
    "rows not known": (whole(4), part(None), part(None, (7, 7))),
    "free dimensions": (whole(0, (-1,)), part(0, (2,)), part(0, (-1,))),
    "the batch axis written out": (whole(0, (-1, 2)), part(4), part(4)),
    "the batch axis put on": (whole(0, (2,)), part(4), part(0)),
    "only between the parts": (whole(0, (2,)), part(4, (2,)), part(4, (2,))),
}
UNFIT = {
    "no such input": (
        (whole(), part()._replace(inputs=fp32("z")), part()),
        "step 0 (model 'a'): it has no input 'x', its inputs are z",
    ),
    "no such output": (
        (whole(), part(), part()._replace(outputs=fp32("z"))),
        "step 1 (model 'b'): it has no output 'y', its outputs are z",
    ),
    "no input at all": (
        (whole(), Part((), fp32("y"), 0), part()),
        "step 0 (model 'a'): it has no input 'x', its inputs are none",
    ),
    "an input left out": (
        (whole(), part()._replace(inputs=fp32("x", "z")), part()),
        "step 0 (model 'a'): its input 'z' is not in input_map",
    ),
    "does not batch": (
        (whole(4), part(4), part(0)),
        "step 1 (model 'b'): it does not batch, and max_batch_size of the ensemble is 4",
    ),
    "batches less": (
        (whole(4), part(2), part(4)),
        "step 0 (model 'a'): it takes 2 rows at most, and max_batch_size of the ensemble is 4",
    ),
    "datatypes at the beginning": (
        (whole(), part()._replace(inputs=ints("x")), part()),
        "tensor 'in' is FP32 [2] as input 'in', and INT32 [2] as input 'x' of step 0 (model 'a')",
    ),
    "datatypes in the middle": (
        (whole(), part(), part()._replace(inputs=ints("x"))),
        "tensor 't' is FP32 [2] as output 'y' of step 0 (model 'a'), and INT32 [2] as input 'x' of "
        "step 1 (model 'b')",
    ),
    "datatypes at the end, rows unknown": (
        (whole(4), None, Part(None, ints("y"), None)),
        "tensor 'out' is INT32 [2] as output 'y' of step 1 (model 'b'), and FP32 [-1, 2] as output 'out'",
    ),
    "shapes": (
        (whole(4), part(4), part(4, (3,))),
        "tensor 't' is FP32 [-1, 2] as output 'y' of step 0 (model 'a'), and FP32 [-1, 3] as input 'x' of "
        "step 1 (model 'b')",
    ),
    "ranks": (
        (whole(), part(0, (1, 1, 2)), part()),
        "tensor 'in' is FP32 [2] as input 'in', and FP32 [1, 1, 2] as input 'x' of step 0 (model 'a')",
    ),
}


@pytest.mark.parametrize("parts", FITTING.values(), ids=list(FITTING))
def test_parts_that_fit(parts: tuple[Part, Part | None, Part | None]) -> None:
    assert fault_of_parts(parts[0], CHAIN, parts[1:]) == ""


@pytest.mark.parametrize(("parts", "fault"), UNFIT.values(), ids=list(UNFIT))
def test_parts_that_do_not(parts: tuple[Part, Part | None, Part | None], fault: str) -> None:
    assert fault_of_parts(parts[0], CHAIN, parts[1:]) == fault


def test_steps_that_are_not_run_are_not_looked_at() -> None:
    unfit = part()._replace(inputs=ints("x"))
    assert fault_of_parts(whole(), CHAIN, (part(), unfit), steps=(0,)) == ""
    assert fault_of_parts(whole(), CHAIN, (part(), unfit), steps=(0, 1))


@pytest.mark.parametrize(
    ("shape", "rank", "fitted"),
    [
        ((3, 2), 2, (3, 2)),
        ((2,), 2, (1, 2)),
        ((1, 2), 1, (2,)),
        ((3, 2), 1, (3, 2)),
        ((2,), 4, (2,)),
        ((), 1, (1,)),
        ((1,), 0, ()),
    ],
)
def test_an_axis_of_one_row_comes_and_goes(
    shape: tuple[int, ...], rank: int, fitted: tuple[int, ...]
) -> None:
    assert fitted_shape(shape, rank) == fitted


def optional(spec: TensorSpec) -> TensorSpec:
    return msgspec.structs.replace(spec, is_optional=True)


def test_what_may_be_left_out_of_an_ensemble_is_optional_to_all_who_read_it() -> None:
    graph = graph_of((("a", {"x": "in", "s": "scale"}, {"y": "out"}),))
    x, s, out = fp32("x")[0], fp32("s")[0], fp32("out")
    whole = Part((fp32("in")[0], optional(fp32("scale")[0])), out, 0)
    assert fault_of_parts(whole, graph, [Part((x, optional(s)), fp32("y"), 0)]) == ""
    assert fault_of_parts(whole, graph, [Part((x, s), fp32("y"), 0)]) == (
        "tensor 'scale' is optional as input 'scale', and not as input 's' of step 0 (model 'a')"
    )


def test_an_optional_input_of_a_part_needs_no_tensor() -> None:
    graph = graph_of((("a", {"x": "in"}, {"y": "out"}),))
    parts = [Part((fp32("x")[0], optional(fp32("s")[0])), fp32("y"), 0)]
    assert fault_of_parts(Part(fp32("in"), fp32("out"), 0), graph, parts) == ""

from __future__ import annotations

from gateway.control.questions import IndexEntry
from gateway.core.model import ModelKey
from gateway.lifecycle.ensembles import parts_of, with_parts
from tests.fakes.ensembles import graph_of

GRAPHS = {
    name: graph_of([(model, {"x": "x"}, {"y": "y"}) for model in models])
    for name, models in {"e": ("a", "b/2"), "outer": ("e", "a"), "round": ("round",)}.items()
}
KEYS = {ModelKey(name, 1): graph for name, graph in GRAPHS.items()}
READY = ("READY", "")


def index(**states: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """What is told of models that are all ready but for those given, by name and version."""
    known = {"a_1": READY, "b_2": READY, "e_1": READY, "outer_1": READY, **states}
    entries = [
        IndexEntry(name.split("_")[0], int(name.split("_")[1]), *state)  # type: ignore[arg-type]
        for name, state in known.items()
        if state[0]
    ]
    return {f"{one.name}_{one.version}": (one.state, one.reason) for one in with_parts(entries, KEYS)}


def test_the_models_below_an_ensemble() -> None:
    assert parts_of("outer", GRAPHS.get) == ("e", "a", "b")
    assert parts_of("a", GRAPHS.get) == ()
    assert parts_of("round", GRAPHS.get) == ()


def test_an_ensemble_is_as_ready_as_its_parts() -> None:
    assert index()["outer_1"] == READY
    assert index(a_1=("LOADING", ""))["e_1"] == READY
    told = index(a_1=("UNAVAILABLE", "corrupt"))
    assert told["e_1"] == ("UNAVAILABLE", "step 0 (model 'a'): corrupt")
    assert told["outer_1"] == ("UNAVAILABLE", "step 0 (model 'e'): step 0 (model 'a'): corrupt")
    assert index(a_1=("UNLOADING", ""))["e_1"][1] == "step 0 (model 'a'): unloading"
    assert index(a_1=("", ""))["e_1"][1] == "step 0 (model 'a'): there is no such model"
    assert index(b_2=("", ""), b_1=READY)["e_1"][1] == "step 1 (model 'b'): its version 2 is not served"
    assert index(a_1=("UNAVAILABLE", "old"), a_2=READY)["e_1"] == READY


def test_a_circle_that_appeared_since_ends() -> None:
    assert index(round_1=READY)["round_1"] == READY

import math

import pytest

from gateway.core.measures import MAX_LABELS, MAX_MEASURES, Measure, fault_of

WELL = Measure("refusals", "counter", 3, (("rule", "free"), ("limit", "rate")), "Requests refused.")


def test_what_a_measure_is() -> None:
    assert fault_of(()) == ""
    assert fault_of((WELL, WELL._replace(kind="gauge", value=-1.5))) == ""


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (17, "a int is no Measure"),
        (("refusals", "counter", 3, (), ""), "a tuple is no Measure"),
        (WELL._replace(name="Refusals"), "the name 'Refusals'"),
        (WELL._replace(name=""), "the name ''"),
        (WELL._replace(name="refusals_total"), "the name 'refusals_total'"),
        (WELL._replace(name=7), "the name 7"),
        (WELL._replace(kind="summary"), "the kind"),
        (WELL._replace(value=math.nan), "no finite number"),
        (WELL._replace(value=True), "no finite number"),
        (WELL._replace(value="3"), "no finite number"),
        (WELL._replace(value=-1), "a counter is below 0"),
        (WELL._replace(labels=[("rule", "free")]), "labels"),
        (WELL._replace(labels=(("rule", 1),)), "labels"),
        (WELL._replace(labels=(("a-b", "x"),)), "labels"),
        (WELL._replace(labels=(("a", "x"), ("a", "y"))), "labels"),
        (WELL._replace(labels=tuple([(f"n{n}", "") for n in range(MAX_LABELS + 1)])), "labels"),
        (WELL._replace(help=None), "help"),
    ],
)
def test_what_is_none(broken: object, told: str) -> None:
    assert told in fault_of((WELL, broken))


def test_no_plugin_makes_the_page_endless() -> None:
    assert fault_of((WELL,) * MAX_MEASURES) == ""
    assert "more than 2000" in fault_of((WELL,) * (MAX_MEASURES + 1))

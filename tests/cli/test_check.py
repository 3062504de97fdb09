from gateway.cli.check import problems
from gateway.repository.catalogue import Catalogue, Ignored, ModelEntry, RefusedVersion


def test_one_line_a_fault_and_none_for_what_is_sound() -> None:
    catalogue = Catalogue(
        {
            "good": ModelEntry("good", ()),
            "bad": ModelEntry("bad", (), broken="config.pbtxt: no"),
            "half": ModelEntry("half", (), refused=(RefusedVersion(2, "a link"),)),
        },
        (Ignored("no name", "not a model name"),),
    )
    assert list(problems(catalogue)) == [
        "bad: config.pbtxt: no",
        "half/2: a link",
        "no name: ignored, not a model name",
    ]

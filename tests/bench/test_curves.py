"""What is drawn is well-formed and lies within its panel."""

from xml.etree import ElementTree

from tests.bench.curves import Curve, Panel, drawn


def test_panels_side_by_side() -> None:
    curve = Curve("a < b", ((0.3, 10.0), (0.9, 5000.0)), is_bold=True)
    root = ElementTree.fromstring(drawn([Panel("one & two", (curve,), 20.0)] * 2))
    assert root.attrib["viewBox"] == "0 0 840 320"
    lines = [one for one in root.iter() if one.tag.endswith("polyline")]
    assert len(lines) == 2
    for pair in lines[0].attrib["points"].split():
        x, y = map(float, pair.split(","))
        assert 46 <= x <= 290
        assert 34 <= y <= 290
    texts = [one.text for one in root.iter() if one.tag.endswith("text")]
    assert {"one & two", "a < b", "objective", "30%", "90%"} <= set(texts)

from gateway.scheduling.poison import PoisonList, fingerprint
from tests.fakes.specs import row_request


def test_a_poison_is_remembered_for_a_while_and_only_it() -> None:
    poison = PoisonList(memory_s=10.0)
    assert not poison.contains(row_request(1.0), 0.0)
    poison.add(row_request(1.0), 0.0)
    assert poison.contains(row_request(1.0), 9.0)
    assert not poison.contains(row_request(2.0), 9.0)
    assert not poison.contains(row_request(1.0), 10.0)


def test_the_list_is_bounded() -> None:
    poison = PoisonList(memory_s=10.0)
    for value in range(400):
        poison.add(row_request(float(value)), 0.0)
    assert not poison.contains(row_request(0.0), 1.0)
    assert poison.contains(row_request(399.0), 1.0)


def test_shape_is_part_of_the_fingerprint() -> None:
    assert fingerprint(row_request(0.0, rows=2, width=3)) != fingerprint(row_request(0.0, rows=3, width=2))

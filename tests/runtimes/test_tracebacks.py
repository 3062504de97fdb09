from __future__ import annotations

import pytest

from gateway.runtimes.tracebacks import Tracebacks


def test_one_a_second_and_the_rest_counted(capsys: pytest.CaptureFixture[str]) -> None:
    now = [10.0]
    tracebacks = Tracebacks("model m/1", lambda: now[0])
    for _ in range(3):
        tracebacks.write(ValueError("no"))
    text = capsys.readouterr().err
    assert text.count("ValueError: no") == 1
    assert text.startswith("model m/1: an exception\n")
    now[0] = 11.0
    tracebacks.write(KeyError("x"))
    assert "(2 more since the last)" in capsys.readouterr().err

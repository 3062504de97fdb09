from __future__ import annotations

from gateway.core.log_settings import LogChange, LogSettings


def test_a_change_sets_takes_back_and_leaves() -> None:
    own = LogSettings(info=False)
    now = LogSettings(verbose_level=3, format="ISO8601")
    assert LogChange().apply(now, own) == now
    change = LogChange(info=None, error=False, verbose_level=None)
    assert change.apply(now, own) == LogSettings(info=False, error=False, format="ISO8601")

from __future__ import annotations

import logging

import pytest

from gateway.core.errors import InvalidInput, Unsupported
from gateway.frontends.fixed_settings import TRACE, log_settings, refuse_log_changes, refuse_trace_changes


def test_what_is_logged_is_told_as_it_is():
    logger = logging.getLogger("gateway")
    before = logger.level
    told = {}
    try:
        for level in (logging.DEBUG, logging.INFO, logging.ERROR):
            logger.setLevel(level)
            found = log_settings()
            told[level] = [found[f"log_{kind}"] for kind in ("info", "warning", "error", "verbose_level")]
    finally:
        logger.setLevel(before)
    assert told == {
        logging.DEBUG: [True, True, True, 1],
        logging.INFO: [True, True, True, 0],
        logging.ERROR: [False, False, True, 0],
    }


@pytest.mark.parametrize(
    ("refuse", "names"), [(refuse_trace_changes, TRACE), (refuse_log_changes, log_settings())]
)
def test_every_setting_is_refused_by_name(refuse, names):
    refuse(())
    for name in names:
        with pytest.raises(Unsupported, match=f"'{name}'"):
            refuse([name])
    with pytest.raises(InvalidInput, match=r"unknown .* 'colour'"):
        refuse(["colour"])

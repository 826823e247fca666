"""The contract, run over every method of the repository."""

from __future__ import annotations

import pytest

from xmodbench.files import REPOSITORY
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.discovery import locate
from xmodbench.stages.check import check
from xmodbench.stages.wall.forking import PRELOADED, ForkServer
from xmodbench.stages.wall.walled import Limits

OWN = sorted(path.parent.name for path in (REPOSITORY / "methods").glob("*/method.py"))


@pytest.fixture(scope="module")
def server():
    # that none of them imports torch at the top is asked in tests/unit/test_plugins.py, of all at once
    with ForkServer([*PRELOADED, "torch", "diffusers"]) as running:
        yield running


@pytest.mark.parametrize("method", OWN)
def test_every_method_keeps_the_contract(method, server):
    found = list(check(locate(METHODS, method), Limits(seconds=300), start=server.start))
    assert [(item.problem, item.warnings, item.asked) for item in found] == [(None, (), True)] * 6


def test_contourdiff_keeps_it_guided_by_the_slice_before(server):
    """Handed volumes, by its settings: independent of their order, continued with the same bits."""
    location, cls = locate(METHODS, "contourdiff"), find(METHODS, "contourdiff").cls
    settings = {**location.meta()["smoke"], "neighbour_share": 0.5, "first_candidates": 2, "affine": 0.5}
    assert cls(cls.Config(**settings)).volumes
    found = list(check(location, Limits(seconds=300), settings=settings, start=server.start))
    assert [(item.problem, item.warnings, item.asked) for item in found] == [(None, (), True)] * 6

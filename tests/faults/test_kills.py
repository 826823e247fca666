"""A whole run is killed at random moments and continued: a round of `kill_anywhere`, and a few more where time allows."""

from __future__ import annotations

import pytest

from tests.faults import kill_anywhere


@pytest.mark.fault(
    "workflow",
    "a whole run, or one process of it, is killed (SIGKILL) at a random moment",
    "the printed command continues it to the same table, bit for bit; nothing half-written, no orphan",
)
@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_runs_end_the_same(kills):
    kill_anywhere.main(kills=kills, seed=5)

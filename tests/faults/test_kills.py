"""A whole run is killed at random moments and continued: two rounds of `kill_anywhere`."""

from __future__ import annotations

import pytest

from tests.faults import kill_anywhere


@pytest.mark.fault(
    "workflow",
    "a whole run, or one process of it, is killed (SIGKILL) at a random moment",
    "the printed command continues it to the same table, bit for bit; nothing half-written, no orphan",
)
def test_killed_runs_end_the_same():
    kill_anywhere.main(kills=2, seed=5)

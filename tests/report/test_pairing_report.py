"""The report says of each direction whether its data are pairs, in all of its forms."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from xmodbench.report import build_report
from xmodbench.report.model import Report
from xmodbench.store import SliceStore


def spoil(plan, harm, dataset="heads"):
    """Change T1 of the first test subject in the store, as it lies there."""
    folder = plan.data_dir(dataset) / "test"
    store = SliceStore(folder)
    name = store.subjects[0]
    rows = [place for place, subject in enumerate(store.subjects) if subject == name]
    images = np.array(store.array("t1"))
    images[rows] = harm(images[rows])
    np.save(folder / "t1.npy", images)
    return name


def pairing(report):
    return {check.group.dataset: check for check in report.checks if check.metric == "pairing"}


def test_sound_pairs_pass(report):
    found = pairing(report)
    assert set(found) == {"heads", "sim_heads"}
    assert {check.passed for check in found.values()} == {True}
    assert found["heads"].seen.startswith("none of ")
    assert report.mispaired(found["heads"].group) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda x: x[:, ::-1], "t1 flipped up-down"),
        (lambda x: 0 * x, "t1 shares no information with pd"),
    ],
)
def test_doubtful_subjects_are_named_in_every_form(copied, tmp_path, harm, said):
    name = spoil(copied, harm)
    found = pairing(Report.read(copied, partial=False))
    assert found["sim_heads"].passed is True
    assert found["heads"].passed is False
    assert f"{name} (test): {said}" in found["heads"].seen
    build_report(copied, tmp_path / "out", False)
    table = json.loads((tmp_path / "out/table.json").read_text())
    (check,) = [check for check in table["checks"] if check["metric"] == "pairing" and check["passed"] is False]
    assert (check["dataset"], check["seen"]) == ("heads", found["heads"].seen)
    for file in ("table.md", "report.html"):
        text = (tmp_path / "out" / file).read_text()
        assert f"{name} (test): {said}" in text
    assert "Doubtful pairs" in (tmp_path / "out/table.md").read_text().split("## Sim")[0]


def test_data_that_are_gone_are_not_judged(copied):
    shutil.rmtree(copied.data_dir("heads") / "test")
    assert set(pairing(Report.read(copied, partial=True))) == {"sim_heads"}

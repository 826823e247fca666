"""What methods keep on the way is drawn step by step, and only images count as such in the plot of errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.report import synthetic
from xmodbench.report.figures.build import way_pictures
from xmodbench.report.figures.files import drawing
from xmodbench.report.figures.way import draw_way, kept_on_the_way
from xmodbench.report.model import Report
from xmodbench.report.plots import way_plot
from xmodbench.store import SliceStore

NAMES = ("noisy_0", "lmi_0", "noisy_9", "lmi_9", "noisy_10", "lmi_10")
ERRORS = {"mse_target": 0.1, "mse_source": 0.2}


@pytest.fixture
def watched(copied):
    """A report in which the first method kept noisy images and maps."""
    cell = copied.cells[0]
    store = SliceStore(copied.translation_dir(cell))
    images, subjects = np.array(store.array("t1")), store.subjects
    arrays = {"t1": images, **{name: images * (0.25 if name.startswith("lmi") else 1) for name in NAMES}}
    synthetic.write_store(copied.translation_dir(cell), arrays, subjects)
    report = Report.read(copied, False)
    results = [replace(report.results[0], intermediates=dict.fromkeys(NAMES, ERRORS)), *report.results[1:]]
    return Report(copied, results, False)


def test_steps_are_in_order_a_row_for_each_kind(watched):
    rows = kept_on_the_way(watched.results[0])
    assert list(rows) == ["noisy", "lmi"]
    assert [list(steps) for steps in rows.values()] == [[0, 9, 10]] * 2
    with drawing() as plt:
        (axis,) = draw_way(plt, watched, watched.groups[0], watched.results[0]).axes
        windows = {image.get_cmap().name: image.get_clim()[1] for image in axis.get_images()}
        assert len(axis.get_images()) == 3 + len(NAMES)
        assert windows["gray"] == 1
        assert windows["viridis"] < 0.3
        assert [text.get_text() for text in axis.texts if text.get_text().startswith("step")][:3] == [
            "step 0",
            "step 9",
            "step 10",
        ]


def test_the_page_has_a_picture_and_no_curve_of_what_is_no_result(watched):
    assert [name for name, _ in way_pictures(watched, watched.plan.results / "figures")] == [
        "steps-good-heads.pd-to-t1"
    ]
    assert way_plot(watched) is None
    results = [replace(watched.results[0], intermediates={"after_3": ERRORS, "lmi_3": ERRORS}), *watched.results[1:]]
    assert len(way_plot(Report(watched.plan, results, False)).data) == 2


def test_arrays_that_are_gone_leave_no_figure(report):
    lost = replace(report.results[0], intermediates={"lmi_3": ERRORS})
    with drawing() as plt:
        assert draw_way(plt, report, report.groups[0], lost) is None

"""What the first screen says of a direction: it must follow from the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xmodbench.files import write_json
from xmodbench.report import verdict
from xmodbench.report.model import Report


def said(report) -> str:
    return " ".join(verdict.verdicts(report)[0].sentences)


def test_the_leader_its_columns_and_its_distance_to_a_copy_and_to_the_next(report):
    text = said(report)
    group = report.groups[0]
    ranks = {name: rank.value for name, rank in report.mean_ranks[group.key].items()}
    assert min(ranks, key=ranks.get) == "good"
    won = [entry for entry in report.cell_entries(group.results[0].cell, report.counted(group)) if entry.best]
    assert text.startswith("Good & <careful> has the best ")
    assert f"({len(won)} of {len(report.counted(group))} ranked columns)" in text
    psnr = {item.cell.method: item.image_scores["paper.psnr"].mean() for item in group.results}
    assert f"{psnr['good'] - psnr['copy_source']:.2f} dB [" in text
    assert "above that of a copy of the source." in text
    second = sorted(ranks, key=ranks.get)[1]
    assert f"{psnr['good'] - psnr[second]:.2f} dB" in text.replace("+", "")
    assert f"{report.plan.method_label(second)}, the next" in text


def test_the_banner_and_the_subjects_go_with_it(report):
    real, simulated = verdict.verdicts(report)
    assert (real.simulated, simulated.simulated) == (False, True)
    assert real.caution == "14 test slices of 7 subjects: too few subjects to say much about others."


def against(report, monkeypatch, **row) -> str:
    monkeypatch.setattr(verdict, "compared", lambda *_: [row])
    group = report.groups[0]
    return verdict._against(report, group, group.results[0], group.results[1], "Blurry")


@pytest.mark.parametrize(
    ("gap", "low", "high", "text"),
    [
        (2.0, 1.0, 3.0, "Its PSNR is 2.00 dB [1.00, 3.00] above that of Blurry."),
        (-2.0, -3.0, -1.0, "Its PSNR is 2.00 dB [1.00, 3.00] below that of Blurry."),
        (2.0, -1.0, 5.0, "In PSNR it is not clearly apart from Blurry: +2.00 dB [-1.00, +5.00]."),
        (2.0, None, None, "Its PSNR is 2.00 dB above that of Blurry (one subject: no interval)."),
    ],
)
def test_an_interval_across_zero_is_no_lead(report, monkeypatch, gap, low, high, text):
    assert against(report, monkeypatch, difference=gap, low=low, high=high) == text


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["mean_image"], "Mean Image, a control without skill, is at least as good in SSIM-Tar."),
        (
            ["mean_image", "copy_source"],
            "Mean Image and Copy Source, controls without skill, are at least as good in SSIM-Tar.",
        ),
    ],
)
def test_controls_that_match_the_leader_are_named(report, names, sentence):
    best = report.groups[0].results[0]
    metric = report.entries[report.groups[0].key][0].metric
    report.__dict__["unskilled"] = {(best.cell, name): [metric] for name in names}
    assert sentence in said(report)


def test_missing_methods_are_counted_and_none_is_said(copied, plan_of):
    for name in ("noisy", "blurry"):
        lost = next(cell for cell in copied.cells if cell.method == name and cell.dataset == "heads")
        write_json(copied.model_dir(lost) / "failure.json", {"error": "diverged"})
    report = Report.read(copied, False)
    assert said(report).startswith("Good & <careful> is the only method with scores")
    assert said(report).endswith("2 methods have no score here.")
    none = [replace(item, status="not run", scores=None) for item in report.results]
    (first, _) = verdict.verdicts(Report(copied, none, True))
    assert (first.sentences, first.caution) == (["No method has scores yet."], "")

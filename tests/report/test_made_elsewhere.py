"""Predictions that were scored into a run by hand: in its table by a row of their own, marked, and partial ones unranked."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from xmodbench.cli.app import app
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.plan.claim import claim
from xmodbench.plan.config import PredictionsEntry
from xmodbench.plan.elsewhere import planned_predictions
from xmodbench.report.collect import collect_cell
from xmodbench.report.cost import seconds_per_image
from xmodbench.report.figure import read_panels
from xmodbench.report.figures.images import lines_of
from xmodbench.report.markdown import _group_section
from xmodbench.report.model import Report
from xmodbench.report.paper_table import table_rows
from xmodbench.report.tables import long_table
from xmodbench.report.verdict import verdicts
from xmodbench.store import SliceStore


@pytest.fixture
def scored(copied, tmp_path, monkeypatch):
    """Score some of the slices of `good` as somebody else's: `scored(ids, *options)` gives the plan and what was said."""
    monkeypatch.chdir(copied.results.parents[1])
    with open("toy.yaml", "w") as handle:
        json.dump(copied.config.model_dump(mode="json"), handle)
    claim(copied, ["toy.yaml"])
    good = next(cell for cell in copied.cells if cell.method == "good" and cell.dataset == "heads")
    store = SliceStore(copied.translation_dir(good))

    def score(chosen=slice(None), *options):
        for image_id, image in list(zip(store.ids, store.array("t1"), strict=True))[chosen]:
            (tmp_path / "theirs").mkdir(exist_ok=True)
            np.save(tmp_path / "theirs" / f"{image_id}.npy", image)
        words = ["--predictions", str(tmp_path / "theirs"), "--dataset", "heads", "--direction", "pd->t1"]
        done = CliRunner().invoke(app, ["score", *words, "--name", "Their <method>", *options])
        return copied, done

    return score


def rows(report, method):
    table = long_table(report)
    return table[(table["dataset"] == "heads") & (table["method"] == method)].set_index("metric")


def test_they_have_the_numbers_of_the_same_images_made_here(scored):
    plan, done = scored()
    assert done.exit_code == 0, done.exception
    report = Report.read(plan, partial=False)
    theirs, ours = rows(report, "their-method"), rows(report, "good")
    assert theirs["mean"].equals(ours["mean"])
    assert theirs.loc["paper.psnr", ["label", "supervision", "made_elsewhere"]].tolist() == [
        "Their <method>",
        "undeclared",
        True,
    ]
    assert theirs.loc["paper.psnr", "rank"] == ours.loc["paper.psnr", "rank"] == 1.5
    assert report.made_elsewhere == {"Their <method>": "undeclared"}
    assert "Their <method>" not in report.not_walled
    assert not [check for check in report.checks if check.passed is False]


def test_what_is_of_one_direction_or_partial_breaks_no_part_of_the_report(scored):
    plan, done = scored(slice(2, 9), "--partial")
    assert done.exit_code == 0, done.exception
    report = Report.read(plan, partial=False)
    assert [len(lines_of(report, group, ("median",))) for group in report.groups] == [1, 1]
    (theirs,) = [item for item in report.results if item.cell.method == "their-method"]
    assert seconds_per_image(theirs) is None  # what it took to read them
    assert "Their <method> (made elsewhere, 7 of 14 slices)" in [row.method for row in table_rows(report)]
    assert "Their" not in " ".join(sentence for verdict in verdicts(report) for sentence in verdict.sentences)


def test_a_run_of_the_same_config_by_another_name_is_not_taken_for_it(scored):
    plan, _ = scored()
    other = plan.results.with_name("other")
    other.mkdir()
    write_json(other / "config.json", read_json(plan.results / "config.json"))  # as with --set run=other
    _, done = scored()
    assert done.exit_code == 0, done.exception
    assert not (other / "translations").exists()


def test_one_id_is_one_method(scored):
    _, done = scored(slice(None), "--supervision", "zero-shot")
    assert done.exit_code == 0, done.exception
    words = [
        "score",
        "--predictions",
        ".",
        "--dataset",
        "sim_heads",
        "--direction",
        "pd->t1",
        "--name",
        "Their <method>",
    ]
    done = CliRunner().invoke(app, [*words, "--supervision", "paired"])
    assert "'their-method' was scored before as 'Their <method>', zero-shot" in str(done.exception)


def test_partial_ones_are_marked_and_not_ranked(scored):
    plan, done = scored(slice(2, 9))
    assert isinstance(done.exception, UserError) and "7 of 14 test slices are missing" in str(done.exception)
    assert "their-method" not in Report.read(plan, partial=False).plan.methods
    plan, done = scored(slice(2, 9), "--partial")
    assert done.exit_code == 0, done.exception
    report = Report.read(plan, partial=False)
    theirs = rows(report, "their-method")
    assert theirs["rank"].isna().all() and not theirs["best"].any()
    assert set(theirs["reason"].str.split(";").str[0]) == {"7 of 14 slices"}
    group = report.groups[0]
    assert "Their &lt;method&gt; (made elsewhere, 7 of 14 slices)" in _group_section(report, group)
    assert not any("their-method" in (row["a"], row["b"]) for row in report.comparisons)
    columns = {column.title: column for column in read_panels(report, group).columns}
    ids = read_panels(report, group).ids
    there = {
        image_id: not np.isnan(image).any()
        for image_id, image in zip(ids, columns["Their <method>"].images, strict=True)
    }
    known = set(SliceStore(plan.results / "translations/their-method/heads/pd-to-t1").ids)
    assert there == {image_id: image_id in known for image_id in ids}


def test_declared_otherwise_afterwards_is_out_of_date(scored):
    plan, done = scored()
    assert done.exit_code == 0, done.exception
    folder = plan.results / "translations" / "their-method" / "heads" / "pd-to-t1"
    report = Report.read(plan, partial=False)
    cell = next(item.cell for item in report.results if item.cell.method == "their-method")
    record = read_json(folder / "record.json")
    write_json(folder / "record.json", {**record, "settings": {**record["settings"], "supervision": "paired"}})
    assert "translate: done with supervision" in collect_cell(report.plan, cell).reason


def test_a_config_says_once_what_is_declared(copied):
    entry = {"id": "x", "folder": "f", "dataset": "heads", "direction": "pd->t1"}
    both = [PredictionsEntry(**entry), PredictionsEntry(**entry)]
    with pytest.raises(UserError, match="'x' has predictions of heads pd->t1 twice"):
        planned_predictions(both, {}, copied.directions, "toy.yaml")
    other = PredictionsEntry(**(entry | {"dataset": "sim_heads", "supervision": "paired"}))
    with pytest.raises(UserError, match="disagree on supervision: 'undeclared' and 'paired'"):
        planned_predictions([both[0], other], {}, copied.directions, "toy.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "head"], "which run?.*: none"),
        (["--direction", "pd"], "'pd' is no direction"),
        (["--supervision", "none"], "supervision"),
        (["--units", "mm"], "units"),
        (["--config", "nowhere.yaml"], "no such config file"),
        (["--id", "oracle", "--config", "toy.yaml"], "a method of this run has the id 'oracle'"),
    ],
)
def test_options_that_cannot_be_meant(scored, options, message):
    _, done = scored(slice(0, 1), *options)
    assert isinstance(done.exception, UserError)

    assert re.search(message, str(done.exception)), str(done.exception)


def test_score_needs_translations_or_predictions():
    done = CliRunner().invoke(app, ["score", "--source", "pd"])
    assert "needs --translation, --data, --train-data, --target, --out" in str(done.exception)

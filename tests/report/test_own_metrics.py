"""Metrics of one's own in a report: in every table, ranked like the others, and missed where scores lack them."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.report import synthetic
from xmodbench.metrics.field.cards import ALWAYS
from xmodbench.metrics.own import metrics_of, paired_of
from xmodbench.metrics.registry import METRICS, PAIRED
from xmodbench.plugins import METRICS as METRIC_PLUGINS
from xmodbench.plugins.scaffold import write_plugin
from xmodbench.report import build_report
from xmodbench.report.collect import collect


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small finished run with a metric of its own, and its report."""
    root = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("FID_WEIGHTS", raising=False)
        synthetic.write_plugins(root)
        write_plugin(METRIC_PLUGINS, "grey-error", root)
        metadata = root / "metrics/grey-error/metric.yaml"
        metadata.write_text(metadata.read_text().replace("summary: Mean", "summary: Mean *and* <b>bold</b>"))
        plan = synthetic.make_plan(root, datasets=("sim_heads",), directions=["pd->t1"], metrics=["grey-error"])
        synthetic.finish(plan, subjects=4, slices=1, size=32)
        build_report(plan, plan.results, False)
    return plan


def test_it_is_in_the_long_table_with_intervals_and_ranks(run):
    table = pd.read_csv(run.results / "table.csv").query("metric == 'own.grey-error'").set_index("method")
    assert table["definition"].unique().tolist() == ["own"]
    assert table.loc["oracle", "mean"] == 0 and (table["ci_low"] <= table["mean"]).all()
    assert table.loc["good", "rank"] == 1 and table.loc["good", "best"]
    assert table["published"].isna().all()


def test_people_read_of_it(run):
    page, markdown = (run.results / "report.html").read_text(), (run.results / "table.md").read_text()
    assert "### Metrics of one's own\n\n| Method | Grey error ↓ |" in markdown
    assert r"**own.grey-error** (Grey error ↓): Mean \*and\* &lt;b&gt;bold" in markdown
    assert "Metrics of one&#39;s own" in page and "Mean *and* &lt;b&gt;bold&lt;/b&gt;" in page
    assert "Grey error ↓, own" in page  # in the menu of the plot
    told = json.loads((run.results / "table.json").read_text())
    assert told["metrics"]["own.grey-error"]["bounds"] == [0.0, 1.0]
    assert {row["metric"] for row in told["comparisons"]} >= {"own.grey-error", "paper.psnr"}


def test_a_run_without_any_is_as_it_was(run, monkeypatch):
    monkeypatch.chdir(run.results.parent.parent)
    plain = synthetic.make_plan(run.results.parent.parent, datasets=("sim_heads",), directions=["pd->t1"])
    assert metrics_of(plain) == METRICS | ALWAYS and paired_of(plain) == PAIRED
    assert paired_of(run) == (*PAIRED, "own.grey-error")


def test_scores_that_lack_it_are_no_scores_of_this_run(run, monkeypatch):
    cell = run.cells[0]
    file, record = run.scores_file(cell), run.scores_file(cell).with_suffix(".record.json")
    kept = file.read_text(), record.read_text()
    monkeypatch.setattr("xmodbench.report.collect.sha256_file", lambda path: json.loads(kept[1])["scores_sha256"])
    file.write_text(pd.read_csv(file).drop(columns="own.grey-error").to_csv(index=False))
    assert "not a table of scores" in str(collect(run)[0].reason)
    file.write_text(kept[0])
    told = json.loads(kept[1])
    record.write_text(json.dumps({**told, "settings": {**told["settings"], "metrics": []}}))
    assert "score: done with metrics []" in str(collect(run)[0].reason)
    record.write_text(kept[1])
    assert collect(run)[0].complete

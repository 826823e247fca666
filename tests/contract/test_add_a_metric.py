"""docs/add-a-metric.md is true; and a metric of one's own stands in scores, table and report, and decides scores alone."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.contract.pages import blocks, do
from xmodbench.errors import UserError
from xmodbench.metrics.own import score_own
from xmodbench.metrics.registry import PAIRED
from xmodbench.plan.config import Scoring, parse_config
from xmodbench.plan.jobs import Jobs
from xmodbench.plan.plan import Plan
from xmodbench.plugins import METRICS
from xmodbench.plugins.discovery import load
from xmodbench.stages.score import score
from xmodbench.store import SliceStore, StoreWriter


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder in which the page has been done, and the config's part that it ends with."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        page = blocks("add-a-metric.md")
        said = [do(block) for block in page]
    checked = [text for block, text in zip(page, said, strict=True) if block.language == "sh"]
    assert [text.count("ok     ") for text in checked] == [6, 6]
    (config,) = [yaml.safe_load(block.text) for block in page if block.language == "yaml" and not block.file]
    return folder, config


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project[0])
    load.cache_clear()
    return project[0]


def plan(config):
    whole = {"run": "x", "datasets": {"sim_ixi": {}}, "methods": {"copy_source": {}, "oracle": {}}, **config}
    return Plan(parse_config(whole, "the page"), "the page")


def test_its_scores_stand_beside_the_others(here, project, make_store):
    test, train = make_store(here / "test"), make_store(here / "train", seed=1)
    store = SliceStore(test)
    with StoreWriter(here / "made", ["t1"], store.array("t1").shape[1:], {}) as writer:
        for index in range(len(store.ids)):
            writer.add({"t1": 1 - store.array("t1")[index]}, **store.slices.iloc[index].to_dict())
    score(here / "made", test, train, "pd", "t1", here / "x.csv", Scoring(**project[1]["scoring"]))
    found = pd.read_csv(here / "x.csv")
    assert found.columns.tolist() == ["id", "subject", "site", *PAIRED, "own.gradient_error"]
    target = np.asarray(store.array("t1"), np.float64)
    changes = [np.abs(np.diff(1 - 2 * target, axis=axis)).mean((1, 2)) for axis in (1, 2)]
    np.testing.assert_allclose(found["own.gradient_error"], sum(changes), rtol=1e-5)
    assert set(json.loads((here / "x.record.json").read_text())["metrics_sha256"]) == {"gradient_error"}


def test_an_edit_of_it_decides_scores_alone(here, project):
    def decisive():
        jobs = Jobs(plan(project[1]), lambda: True)
        cell = SimpleNamespace(method="oracle", dataset="sim_ixi", source="pd", target="t1")
        return jobs.scoring_code(None), jobs.method_code(cell), jobs.dataset_code(cell), jobs.report_code()

    before, file = decisive(), here / "metrics/gradient_error/metric.py"
    text = file.read_text()
    file.write_text(text + "# edited\n")
    after = decisive()
    file.write_text(text)
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True, True]
    (here / "metrics/gradient_error/test_gradient_error.py").write_text("# a test decides nothing\n")
    assert decisive() == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return translation.mean()", "returned float32, expected a NumPy array"),
        ("target *= 0", "writes into an array that it was handed; copy it first"),
        ("raise SystemExit(0)", "metric 'broken{n}', score: SystemExit: 0"),
        ("return np.full(len(target), 7.0)", "own.broken{n} is 7, outside its bounds [0, 4]"),
    ],
)
def test_one_that_is_broken_stops_the_job_with_a_line(tmp_path, monkeypatch, project, body, words):
    monkeypatch.chdir(tmp_path)
    name = f"broken{len(body)}"
    folder = tmp_path / "metrics" / name
    folder.mkdir(parents=True)
    (folder / "metric.yaml").write_text((project[0] / "metrics/gradient_error/metric.yaml").read_text())
    code = f"class M(ImageMetric):\n    def score(self, translation, target, source):\n        {body}\n"
    (folder / "metric.py").write_text(f"import numpy as np\nfrom xmodbench.plugins import ImageMetric\n{code}")
    images = tuple(np.random.default_rng(0).random((3, 4, 16, 16), dtype=np.float32))
    with pytest.raises(UserError) as caught:
        score_own([name], images)
    assert words.replace("{n}", str(len(body))) in str(caught.value)


def test_one_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="scoring.metrics.mea: unknown metric; known: none"):
        plan({"scoring": {"metrics": ["mea"]}})
    assert METRICS.folder == "metrics"

"""docs/add-a-method.md is true: its commands run, and its files, as printed there, make a plugin that does what it says."""

import numpy as np
import yaml

from tests.contract.pages import blocks, do
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan
from xmodbench.plugins import METHODS, Run, TrainData, available, find
from xmodbench.plugins.check import phantom


def test_the_page_works(tmp_path, monkeypatch, quiet):
    monkeypatch.chdir(tmp_path)
    page = blocks("add-a-method.md")
    files = [block.file for block in page if block.file]
    assert files == [f"methods/histogram/{name}" for name in ("method.yaml", "method.py", "README.md")]
    said = [do(block) for block in page]
    checked = [text for block, text in zip(page, said, strict=True) if block.language == "sh"]
    assert [text.count("ok     ") for text in checked] == [6, 6] and "Next:" in checked[0]
    assert {"my_method", "histogram"} <= set(available(METHODS))
    (config,) = [yaml.safe_load(block.text) for block in page if block.language == "yaml" and not block.file]
    Plan(parse_config({"run": "x", "datasets": {"sim_ixi": {}}, **config}, "the page"), "the page")

    # and it does what it says: the result has the target's grey levels
    plugin = find(METHODS, "histogram")
    method = plugin.cls(plugin.cls.Config())
    target, source = phantom(8, 1), phantom(3, 2, invert=True)
    method.fit(TrainData(target), Run(1, "cpu", tmp_path, quiet))
    images = method.translate(source, [])
    np.testing.assert_allclose(
        np.quantile(images, [0.05, 0.5, 0.99]), np.quantile(target, [0.05, 0.5, 0.99]), atol=0.02
    )

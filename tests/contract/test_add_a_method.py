"""docs/add-a-method.md is true: its files, as printed there, make a plugin that keeps the contract."""

import re

import numpy as np

from xmodbench.files import REPOSITORY
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.discovery import locate
from xmodbench.stages.check import problems


def test_the_example_works(tmp_path, monkeypatch, quiet):
    text = (REPOSITORY / "docs" / "add-a-method.md").read_text()
    files = re.findall(r"^## [^\n]*`(methods/[\w./]+)`\n.*?^```\w+\n(.*?)^```", text, flags=re.S | re.M)
    assert [name for name, _ in files] == [
        f"methods/histogram/{name}" for name in ("method.yaml", "method.py", "README.md")
    ]
    for name, content in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.chdir(tmp_path)
    assert problems(locate(METHODS, "histogram")) == []
    plugin = find(METHODS, "histogram")

    # and it does what it says: the result has the target's grey levels
    method = plugin.cls(plugin.cls.Config())
    target, source = phantom(8, 1), phantom(3, 2, invert=True)
    method.fit(TrainData(target), Run(1, "cpu", tmp_path, quiet))
    images = method.translate(source, [])
    np.testing.assert_allclose(
        np.quantile(images, [0.05, 0.5, 0.99]), np.quantile(target, [0.05, 0.5, 0.99]), atol=0.02
    )

"""docs/shapes.md is true: its methods, as printed there, keep the contract and stand where the page says."""

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml

from tests.contract.pages import blocks, do, run
from tests.plugins import write_method
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.discovery import locate
from xmodbench.progress import Progress
from xmodbench.stages.check import problems


def test_the_page_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = blocks("shapes.md")
    (commands,) = [block.text.splitlines() for block in page if block.language == "sh"]
    assert commands == [f"xmodbench check {name}" for name in ("unet25d", "two_sources", "volume_levels")]
    for block in page:
        if block.file:
            do(block)
    said = run("\n".join(commands[1:]))  # the first, which needs torch, is slower
    assert said.count("ok     ") == 12 and "warn" not in said
    (config,) = [yaml.safe_load(block.text) for block in page if block.language == "yaml" and not block.file]
    plan = Plan(parse_config({"run": "x", **config}, "the page"), "the page")
    found = {(cell.method, cell.source) for cell in plan.cells}
    plain = {"unet25d-around-0", "unet25d-around-1", "volume_levels", "copy_source"}
    assert found == {*((name, "t1") for name in plain), ("two_sources", "t1+t2"), ("copy_source", "t1+t2")}


@pytest.mark.slow
def test_the_method_of_the_page_that_needs_torch_keeps_the_contract(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks("shapes.md"):
        if block.file:
            do(block)
    said = run("xmodbench check unet25d")
    assert said.count("ok     ") == 6 and "warn" not in said


def test_the_network_of_the_page_is_where_the_job_computes_and_learns(tmp_path, monkeypatch):
    """A device that holds no values tells that nothing stayed elsewhere: what does would be refused."""
    monkeypatch.chdir(tmp_path)
    for block in blocks("shapes.md"):
        if block.file:
            do(block)
    cls = find(METHODS, "unet25d").cls
    target = phantom(8, 1)
    source = np.concatenate([phantom(8, 1, invert=True)] * 3, axis=1)
    run, errors = Run(seed=1, device="cpu", state_dir=tmp_path, progress=Progress(quiet=True)), []
    for steps in (1, 60):
        method = cls(cls.Config(width=8, steps=steps))
        method.fit(TrainData(target, source), run)
        errors.append(np.abs(method.translate(source, [None] * 8) - target).mean())
    assert errors[1] < 0.75 * errors[0]
    there = cls(cls.Config(width=8, steps=2))
    there.fit(TrainData(target, source), replace(run, device="meta"))
    assert {weights.device.type for weights in there.network.parameters()} == {"meta"}
    with pytest.raises(NotImplementedError, match="meta tensor"):  # only once it is to come back
        there.translate(source, [None] * 8)


BREACHES = {
    "all": ("neighbours = 1", "source", r"returned shape \(5, 3, 32, 32\), expected \(5, 1, 32, 32\)"),
    "flat": ("volumes = True", "source[:, :, 0]", r"expected \(1, 1, 2, 32, 32\); return the one volume"),
    "counts": (
        "neighbours = 1",
        "source[:, :1] * 0 + np.float32(len(source) / 9)",
        "images change with the batch size",
    ),
}


def test_breaches_of_a_declared_shape_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, (declares, answer, expected) in BREACHES.items():
        body = f"""
        class Toy(Method):
            supervision = Supervision.ZERO_SHOT
            {declares}
            def fit(self, train, run): pass
            def save(self, directory): (directory / "w").write_text("1")
            def load(self, directory, run): pass
            def translate(self, source, generators): return {answer}
        """
        (write_method(tmp_path, name, body) / "README.md").write_text("toy")
        (problem,) = problems(locate(METHODS, name))
        assert re.search(expected, problem), problem

"""`xmodbench check` of metrics: each breach gets one line that says what to write instead."""

from __future__ import annotations

import pytest

from xmodbench.plugins import METRICS
from xmodbench.plugins.discovery import Location
from xmodbench.stages.check import check
from xmodbench.stages.wall.forking import ForkServer
from xmodbench.stages.wall.walled import Limits

SOUND = """
import numpy as np
from xmodbench.plugins import ImageMetric

class Toy(ImageMetric):
    calls = 0

    def score(self, translation, target, source):
        error = np.abs(translation.astype(np.float64) - target).mean(axis=(1, 2, 3))
        return error
"""
YAML = "label: MAE\nsummary: Mean absolute error.\nbetter: lower\nbounds: [0, 1]\nidentical: 0\nsymmetric: true\n"
RETURN, BEGIN = "return error", "        error ="


def answer(code):
    return (RETURN, f"return {code}")


def before(code):
    return (BEGIN, f"        {code}\n{BEGIN}")


@pytest.fixture(scope="module")
def server():
    with ForkServer() as running:
        yield running


def found(root, server, name, change=("", ""), yaml=YAML, readme=True, **limits):
    folder = root / "metrics" / name
    folder.mkdir(parents=True)
    assert change[0] in SOUND
    (folder / "metric.py").write_text(SOUND.replace(*change, 1))
    (folder / "metric.yaml").write_text(yaml)
    if readme:
        (folder / "README.md").write_text("# Toy\n")
    return list(check(Location(name, METRICS, folder), Limits(**{"seconds": 20, **limits}), start=server.start))


def test_what_is_sound_passes(tmp_path, server):
    assert [(item.problem, item.warnings) for item in found(tmp_path, server, "sound")] == [(None, ())] * 6


def test_an_id_that_no_config_can_name_is_told(tmp_path, server):
    (problem,) = [item.problem for item in found(tmp_path, server, "2nd MAE") if item.problem]
    assert "'2nd MAE' is no id; configs refuse it; rename the folder: begin with a small letter; then" in problem


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("a-scalar", answer("float(error.mean())"), "returned float, expected a NumPy array; return a number for each"),
        ("a-mean", answer("error.mean()"), "returned float64, expected a NumPy array"),
        ("a-map", answer("np.abs(translation - target)"), "returned shape (5, 1, 32, 32), expected (5,); return a number"),
        ("text", answer("np.array(['a'] * len(error))"), "returned <U1 values, expected numbers"),
        ("nan", answer("np.where(error > 0.3, np.nan, error)"), "own.nan is nan, which is not finite; say what it is"),
        ("beyond", answer("error * 255"), "outside its bounds [0, 1]; say what it is"),
        ("batch", answer("error / len(error)"), "numbers change with the batch size"),
        ("order", answer("error * np.linspace(0.5, 1, 5)[:len(error)]"), "numbers change with the batch size"),
        ("random", answer("error * np.random.rand()"), "the same images scored twice differ"),
        ("counting", before("type(self).calls += 1; target = target / self.calls"), "the same images scored twice differ"),
        ("in-place", before("target *= 2"), "writes into an array that it was handed; copy it first"),
        ("best", answer("error + 0.01"), "identical images get 0.01, not 0 as metric.yaml says; put right"),
        ("one-sided", answer("error * translation.mean(axis=(1, 2, 3))"), "cannot change places; take `symmetric` out"),
        ("writing", before("open('/tmp/xmodbench-elsewhere', 'w')"), "was refused '/tmp/xmodbench-elsewhere'"),
        ("raising", before("1 / 0"), "metric 'raising', score: ZeroDivisionError"),
        ("exit", before("raise SystemExit(0)"), "called sys.exit(0); return when"),
        ("classless", ("class Toy(ImageMetric)", "class Toy"), "defines 0 subclasses of xmodbench.plugins.ImageMetric"),
        ("few", ("(self, translation, target, source)", "(self, translation, target)"), "cannot be called with"),
    ],
)  # fmt: skip
def test_a_breach_is_told_once(tmp_path, server, name, change, words):
    problems = [item.problem for item in found(tmp_path, server, name, change) if item.problem]
    assert len(problems) == 1 and words in problems[0], problems


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("misspelt", ("bounds:", "bound:"), "bound: unknown option; did you mean 'bounds'?"),
        ("missing", ("better: lower\n", ""), "better: missing"),
        ("wrong", ("better: lower", "better: less"), "better: input should be 'higher' or 'lower'"),
        ("backwards", ("[0, 1]", "[1, 0]"), "bounds: the lower one must be below the upper"),
        ("higher", ("better: lower", "better: higher"), "a noisy image is better than an identical one"),
    ],
)
def test_its_yaml_is_checked(tmp_path, server, name, change, words):
    problems = [item.problem for item in found(tmp_path, server, name, yaml=YAML.replace(*change)) if item.problem]
    assert len(problems) == 1 and words in problems[0], problems


def test_it_is_ended_and_warned(tmp_path, server):
    hanging = found(tmp_path, server, "hanging", before("while True: pass"), seconds=1)
    assert [item.problem for item in hanging if item.problem] == [
        "metric 'hanging', score: did not end within 1 s; end its loops, or give it smaller `smoke` settings"
    ]
    yaml = YAML.replace("identical: 0\nsymmetric: true\n", "")
    blind = found(tmp_path, server, "blind", answer("np.zeros(len(error))"), yaml=yaml, readme=False)
    assert [item.problem for item in blind if item.problem] == [
        f"{tmp_path}/metrics/blind/README.md: missing; say there what the metric measures"
    ]
    assert [text for item in blind for text in item.warnings] == [
        "score: all images get the same number; does it look at them?"
    ]

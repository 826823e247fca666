"""The contract, run over every method of the repository, and over methods that break it."""

import tempfile
from pathlib import Path

import pytest

from tests.plugins import GRADIENT, write_method
from xmodbench.files import REPOSITORY
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.check import CHECKS, Subject, validate_method

OWN = sorted(path.parent.name for path in (REPOSITORY / "methods").glob("*/method.py"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("method", OWN)
def test_every_method_keeps_the_contract(method, check):
    with tempfile.TemporaryDirectory() as folder:
        check(Subject(find(METHODS, method), Path(folder)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("0.5 * source + 0.5 * noise", "source + noise"), "expected [0, 1]"),
        (("return (0.5", "return source[:, :, 1:]; (0.5"), "returned shape"),
        (("item.numpy.random(", "np.random.default_rng(len(generators)).random("), "change by up to"),
        (("float(train.target.mean())", "1; np.random.rand()"), None),
        (('"level.txt"', '"level.pkl"'), "use safetensors"),
        (("import numpy", "import torch, numpy"), "imports torch at the top"),
    ],
)
def test_breaches_are_found(tmp_path, monkeypatch, change, problem):
    monkeypatch.chdir(tmp_path)
    body = "import numpy as np\n" + GRADIENT
    assert change[0] in body
    name = f"breach{abs(hash(change)) % 10**8}"
    folder = write_method(tmp_path, name, body.replace(*change))
    (folder / "README.md").write_text("# Toy\n")
    found = [problem for _, problem in validate_method(find(METHODS, name)) if problem]
    assert found == [] if problem is None else any(problem in text for text in found), found

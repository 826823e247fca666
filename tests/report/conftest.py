"""A finished toy run, made once, and copies of it to break."""

from __future__ import annotations

import shutil
from functools import partial

import pytest

from tests.report import synthetic
from tests.sharing import made_once
from xmodbench.report import build_report
from xmodbench.report.model import Report

DIRECTIONS = ["pd->t1"]


def run_of(tmp_path_factory, name, plan_in, **sizes):
    """Folder of a finished run, made once in a session."""

    def make(root):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            patch.delenv("FID_WEIGHTS", raising=False)
            synthetic.write_plugins(root)
            synthetic.finish(plan_in(root), slices=2, size=32, **sizes)

    return made_once(tmp_path_factory, name, make)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Folder of a finished run of a real-looking and a simulated data set, one direction each."""
    return run_of(tmp_path_factory, "toy", partial(synthetic.make_plan, directions=DIRECTIONS))


@pytest.fixture(scope="session")
def seeded(tmp_path_factory):
    """Folder of a finished run of one direction with three seeds."""
    return run_of(tmp_path_factory, "seeded", synthetic.seeded_plan, subjects=4)


@pytest.fixture
def plan_of(monkeypatch):
    """Make the plan of the toy run in a folder: `plan_of(root, title=...)`."""

    def make(root, **options):
        monkeypatch.chdir(root)
        return synthetic.make_plan(root, directions=DIRECTIONS, **options)

    return make


@pytest.fixture
def copied(finished, tmp_path, plan_of):
    """The plan of a copy of the finished run, to be broken."""
    root = tmp_path / "copy"
    shutil.copytree(finished, root)
    return plan_of(root)


@pytest.fixture
def report(finished, plan_of):
    return Report.read(plan_of(finished), partial=False)


@pytest.fixture(scope="session")
def built(finished, tmp_path_factory):
    """Folder of the finished run's report."""

    def make(out):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(finished)
            plan = synthetic.make_plan(finished, directions=DIRECTIONS, title="Toy <b>heads</b>", figures=True)
            build_report(plan, out, False)

    return made_once(tmp_path_factory, "page", make)


@pytest.fixture(scope="module")
def page(built):
    """The built report's page."""
    return built / "report.html"


@pytest.fixture(scope="module")
def driver(page, tmp_path_factory):
    """A real browser that has opened it."""
    from tests.report.browser import opened

    with opened(page, tmp_path_factory.mktemp("profile")) as browser:
        yield browser

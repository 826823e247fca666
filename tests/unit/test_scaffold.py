"""`xmodbench new`: what it writes works, passes its own test, and never goes over what is there."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmodbench.cli.app import app
from xmodbench.errors import UserError
from xmodbench.files import PACKAGE_ROOT
from xmodbench.plugins import available, find
from xmodbench.plugins.discovery import KINDS, METHODS
from xmodbench.plugins.scaffold import write_plugin


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*words):
    return CliRunner().invoke(app, ["new", *map(str, words)])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_it_writes_passes_its_own_tests(here, kind):
    name = f"scaffolded-{kind.name}"
    said = new(kind.name, name)
    assert said.exit_code == 0, said.output
    assert f"xmodbench check {name}" in said.output and f"python -m pytest {kind.folder}/{name}" in said.output
    assert name in available(kind) and find(kind, name).label == f"Scaffolded {kind.name}"
    tests = runpy.run_path(str(here / kind.folder / name / f"test_scaffolded_{kind.name}.py"))
    for test in [value for key, value in tests.items() if key.startswith("test_")]:
        test(**({"tmp_path": here} if test.__code__.co_argcount else {}))
    listed = CliRunner().invoke(app, ["plugins"])
    assert f"{kind.name:8} {name}" in listed.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("metod", "a"), "new: no such kind 'metod'; did you mean 'method'?"),
        (("method", "9a"), "new: '9a' is no id; give another: begin with a small letter"),
        (("method", "MyNet"), "new: 'MyNet' is no id; give another: did you mean 'mynet'?"),
        (("method", "../a"), "'../a' is no id; give another: did you mean 'a'?"),
        (("method", "a" * 42), "is no id"),
        (("method", "oracle"), "oracle: this id is taken by a method in"),
        (("dataset", "ixi"), "ixi: this id is taken by a dataset in"),
        (("method", "mine"), "methods/mine: is there already; choose another id, or remove it"),
        (("method", "linked"), "methods/linked: is there already"),
    ],
)
def test_what_it_refuses(here, words, expected):
    (here / "methods/mine").mkdir(parents=True)
    (here / "methods/linked").symlink_to("nowhere")
    before = sorted(here.rglob("*"))
    done = new(*words)
    assert isinstance(done.exception, UserError) and expected in str(done.exception)
    assert sorted(here.rglob("*")) == before


def test_it_can_be_written_into_another_project(here):
    said = new("method", "theirs", "--folder", here / "project")
    assert (here / "project/methods/theirs/method.py").is_file() and f"1. cd {here / 'project'}, where" in said.output
    assert "theirs" not in available(METHODS)


@pytest.mark.parametrize("name", ["none", "true", "null", "config", "method", "a-b_c", "path", "b--1"])
def test_names_that_mean_something_to_python(here, name):
    for kind in KINDS:
        write_plugin(kind, name, here)
        assert find(kind, name).label == " ".join(filter(None, name.replace("_", "-").split("-"))).capitalize()


def test_templates_are_shipped_with_the_package():
    assert {path.parent.name for path in Path(PACKAGE_ROOT / "plugins/scaffold").glob("*/README.md.in")} == {
        kind.name for kind in KINDS
    }

"""`xmodbench check` of methods: what is sound passes, and each breach gets one line that says what to write instead."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.contract.broken_methods import BROKEN, FIT, SOUND, YAML
from xmodbench import isolation
from xmodbench.plugins import METHODS
from xmodbench.plugins.discovery import Location
from xmodbench.stages.check import check
from xmodbench.stages.wall.forking import ForkServer
from xmodbench.stages.wall.walled import Limits

NEEDS_A_WALL = {"writing", "own folder", "reading", "peeping", "network", "link"}


@pytest.fixture(scope="module")
def server():
    with ForkServer() as running:
        yield running


def written(root: Path, name: str, code: str = SOUND, yaml: str = YAML, readme: bool = True) -> Location:
    folder = root / "methods" / name
    folder.mkdir(parents=True)
    (folder / "method.py").write_text(code)
    (folder / "method.yaml").write_text(yaml)
    if readme:
        (folder / "README.md").write_text("# Toy\n")
    return Location(name, METHODS, folder)


def test_what_is_sound_passes(tmp_path, server):
    found = list(check(written(tmp_path, "sound"), start=server.start))
    assert [(item.problem, item.warnings) for item in found] == [(None, ())] * 6


def test_an_id_that_no_config_can_name_is_told(tmp_path, server):
    (problem,) = [item.problem for item in check(written(tmp_path, "MyNet"), start=server.start) if item.problem]
    assert problem.endswith("MyNet: 'MyNet' is no id; configs refuse it; rename the folder: did you mean 'mynet'?")


KERNEL = 'Path(os.environ["NUMBA_CACHE_DIR"], "kernel")'
COMPILING = "import os\nfrom pathlib import Path\n" + SOUND.replace(FIT, FIT + f"        assert {KERNEL}.is_file()\n")
COMPILING += f"""
    @classmethod
    def compile_kernels(cls):
        {KERNEL}.touch()
"""


def test_processes_of_a_check_have_what_was_compiled_beforehand(tmp_path, server, monkeypatch):
    """Forked ones as well, which do not print to where a job does."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    location = written(tmp_path, "compiling", COMPILING, YAML + "compiles: true\n")
    assert [item.problem for item in check(location, start=server.start)] == [None] * 6


FAULTS = {
    "hanging": ("hangs", "`xmodbench check` ends it after a time and says so"),
    "hungry": ("takes all memory", "`xmodbench check` holds it to its limit and says so in one line"),
    "filling": ("fills the disk", "`xmodbench check` holds its files to a limit and says so in one line"),
    "segfault": ("crashes its process", "one line; `xmodbench check` leaves nothing behind"),
    "exit": ("calls `sys.exit(0)` in `fit`", "one line says what to write instead; no model"),
    "unseeded": ("ignores the seed", "`xmodbench check` says in which function"),
    "resume": ("ends otherwise after it was killed and continued", "`xmodbench check` says what to keep"),
    "objects": ("saves a pickle, or an array of objects, as its model", "one line names the file; no model"),
    "source in place": ("changes the slices that it is handed", "one line says to copy them"),
    "misspelt": ("`method.yaml` with a misspelt key", "one line names the one that was meant"),
    "talkative": ("prints 200,000 lines on a few slices", "`xmodbench check` says what to use instead"),
}


def case_of(name):
    return pytest.param(name, marks=pytest.mark.fault("plugin", *FAULTS[name]) if name in FAULTS else ())


@pytest.mark.parametrize("case", map(case_of, BROKEN))
def test_a_breach_is_told_once(tmp_path, server, case, monkeypatch):
    if case in NEEDS_A_WALL and not isolation.landlock_version():
        pytest.skip("this kernel has no Landlock")
    broken = BROKEN[case]
    assert broken.change[0] in SOUND
    location = written(tmp_path, case.replace(" ", "-"), SOUND.replace(*broken.change, 1), broken.yaml, broken.readme)
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(rooms))
    found = list(check(location, Limits(broken.seconds, broken.memory_mb, 64), start=server.start))
    problems = [item.problem for item in found if item.problem]
    warnings = [text for item in found for text in item.warnings]
    if broken.words:
        assert len(problems) == 1 and broken.words in problems[0], problems
        assert "\n" not in problems[0] and len(problems[0]) < 400
    else:
        assert problems == []
    assert len(warnings) == bool(broken.warning) and all(broken.warning in text for text in warnings), warnings
    assert list(rooms.iterdir()) == []

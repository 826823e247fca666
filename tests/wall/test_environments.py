"""Methods with packages of their own: built once, behind the same wall, and each thing that is lacking told in a line."""

import os
import re
import shutil

import numpy as np
import pytest

from tests.environments import META, OLD_PANDAS, with_uv, write_old, write_program, write_wheel
from tests.plugins import write_method
from xmodbench.errors import UserError
from xmodbench.plan.config import parse_config
from xmodbench.plan.estimate import Estimate
from xmodbench.plan.estimate_text import told
from xmodbench.plan.plan import Plan
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.discovery import locate
from xmodbench.plugins.environment import BUILT, environment_of
from xmodbench.progress import Progress
from xmodbench.records import read_record
from xmodbench.stages.check import check, problems
from xmodbench.stages.doctor import doctor
from xmodbench.stages.train import train
from xmodbench.stages.translate import translate
from xmodbench.stages.wall import building
from xmodbench.stages.wall.method_job import MethodJob
from xmodbench.store import SliceStore


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with_uv(tmp_path, monkeypatch)
    return tmp_path


def job(name="old"):
    return MethodJob(name, locate(METHODS, name), {}, 5, "cpu", 1, Progress(quiet=True))


def test_a_method_works_with_a_package_that_conflicts_with_ours(here, make_store):
    import pandas

    folder, store = write_old(here), make_store(here / "store")
    plan = Plan(parse_config({"run": "r", "datasets": {"sim_ixi": {}}, "methods": {"old": {}}}, "c.yaml"), "c.yaml")
    before = [(fact.name, fact.state) for fact in doctor(plan) if fact.group == "environments of methods"]
    assert before == [("uv", "ok"), ("old", "ok")] and "not built yet: uv does it once" in told(Estimate(plan))
    assert not (here / "cache").exists()  # who asks builds nothing

    train(job(), store, "t1", None, here / "model", here / "state")
    shutil.rmtree(folder / "wheels")  # what decides is there: nothing is built again
    assert environment_of(locate(METHODS, "old")).folder != _built(here)
    write_wheel(folder / "wheels", "pandas", "0.0.7", "def level(): return 0.25")
    translate(job(), here / "model", store, "pd", "t1", here / "images", 4)
    np.testing.assert_array_equal(SliceStore(here / "images").array("t1"), np.float32(0.25))
    record = read_record(here / "model")
    assert record["pandas"] == "0.0.7" != pandas.__version__
    assert record["environment"]["packages"] == {"pandas": "0.0.7"}
    assert record["environment"] == read_record(here / "images")["environment"]
    assert "environment of 'old' (requirements.txt): built" in told(Estimate(plan))
    write_method(here, "borrower", BORROWER)
    translate(job("borrower"), here / "model", store, "pd", "t1", here / "borrowed", 4)
    assert read_record(here / "borrowed")["environment"] == record["environment"]
    assert [fact.name for fact in doctor(plan) if fact.group == "environments of methods"] == ["old"]


BORROWER = """
from xmodbench.plugins import Borrower
class Toy(Borrower):
    supervision = Supervision.ZERO_SHOT
    model_plugin = "old"
    def load(self, directory, run):
        import pandas
        assert pandas.level() == 0.25
    def translate(self, source, generators): return source
"""


def _built(here):
    (note,) = (here / "cache/xmodbench/environments").glob(f"*/{BUILT}")
    return note.parent


LOOKING = OLD_PANDAS.replace(
    "import pandas\n        self.level",
    """import os, sys, numpy
        run.facts["path"] = sys.path
        for name in ("scipy", "torch", "pip"):
            try: __import__(name)
            except ImportError: pass
            else: raise ValueError(f"{name} is there")
        import pandas
        self.level""",
)


@pytest.mark.slow
def test_it_keeps_the_contract(here):
    write_old(here, LOOKING)
    found = list(check(locate(METHODS, "old")))
    assert [finding.problem for finding in found] == [None] * 6
    assert [finding.warnings for finding in found if finding.warnings] == [
        ("translate: every image is constant; is that the model's answer?",)
    ]


def test_it_sees_nothing_of_our_packages(here, make_store):
    import scipy

    write_old(here, LOOKING)
    ours = os.path.dirname(scipy.__file__)
    looking = LOOKING.replace("import pandas\n        self", f"open({ours!r} + '/__init__.py')\n        self")
    write_method(here, "old", looking, META)
    with pytest.raises(UserError, match=r"fit: was refused '.*scipy/__init__.py'"):
        train(job(), make_store(here / "store"), "t1", None, here / "model", here / "state")


def test_a_package_of_the_environment_belongs_into_the_functions(here):
    write_old(here, "import pandas\nassert pandas.__version__ == '0.0.7'\n" + OLD_PANDAS)
    (problem,) = problems(locate(METHODS, "old"))
    assert "method.py: cannot be imported (AssertionError" in problem
    assert not (here / "cache").exists()


@pytest.mark.fault(
    "plugin", "packages of a method's own that cannot be had", "one line says why; nothing half-built is left"
)
def test_what_cannot_be_built_is_one_line_and_leaves_nothing(here, monkeypatch, capfd):
    write_old(here, wanted="pandas==9.9.9")
    with pytest.raises(
        UserError, match=r"its environment could not be built: .*pandas==9.9.9.*; see what uv said above, and "
    ) as caught:
        building.ready(locate(METHODS, "old"), Progress(quiet=True))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(here / "methods/old/requirements.txt"))
    assert "pandas" in capfd.readouterr().err
    assert [path.suffix for path in (here / "cache/xmodbench/environments").iterdir()] == [".lock"]
    monkeypatch.setattr(building, "builder", lambda by_conda: None)
    with pytest.raises(
        UserError, match=r"\(requirements.txt\) has to be built, and there is no uv; install it: pip install uv"
    ):
        building.ready(locate(METHODS, "old"), Progress(quiet=True))


@pytest.mark.fault("plugin", "a build of a method's environment that was killed", "it is built anew")
def test_what_a_killed_build_left_is_built_anew(here):
    write_old(here)
    wanted = environment_of(locate(METHODS, "old"))
    (wanted.folder / "bin").mkdir(parents=True)
    (wanted.folder / "bin" / "python").write_text("half")
    assert not wanted.is_built
    assert building.ready(locate(METHODS, "old"), Progress(quiet=True)).contents["packages"] == {"pandas": "0.0.7"}


@pytest.mark.fault(
    "plugin", "an environment of a method's own with another pydantic", "one line names the file and what to allow"
)
def test_an_environment_in_which_this_package_does_not_work_is_told(here):
    folder = write_old(here, wanted="pydantic==0.1")
    write_wheel(folder / "wheels", "pydantic", "0.1", "def BaseSettings(): pass")
    (problem,) = problems(locate(METHODS, "old"))
    assert re.search(r"xmodbench cannot be imported \(cannot import name .*pydantic.*let it have pydantic 2", problem)


@pytest.mark.fault(
    "plugin",
    "a package of a method's own that runs code when it is built, or when Python starts",
    "it runs behind the wall, or not at all",
)
def test_nothing_that_is_installed_runs_outside_the_wall(here, make_store):
    """Neither when it is built, nor by what Python would run as it starts."""
    folder, secret = write_old(here), here / "secret"
    secret.write_text("42")
    code = f"""import os, pathlib
try: pathlib.Path({str(here / "got")!r}).write_text(open({str(secret)!r}).read())
except OSError: pass
"""
    write_wheel(
        folder / "wheels",
        "pandas",
        "0.0.7",
        "def level(): return 0.25",
        {"spy.pth": "import spy\n", "spy.py": code},
    )
    train(job(), make_store(here / "store"), "t1", None, here / "model", here / "state")
    assert read_record(here / "model")["pandas"] == "0.0.7" and not (here / "got").exists()
    assert read_record(here / "model")["isolation"].startswith("landlock")
    (folder / "wheels" / "pandas-0.0.7-py3-none-any.whl").rename(folder / "pandas.zip")
    (folder / "wheels" / "setup.py").write_text(code)
    (folder / "requirements.txt").write_text("./wheels\n")
    with pytest.raises(UserError, match="could not be built"):
        building.ready(locate(METHODS, "old"), Progress(quiet=True))
    assert not (here / "got").exists()


def test_conda_makes_it_from_a_yaml(here, monkeypatch):
    write_program(here / "programs", "conda", FAKE_CONDA)
    monkeypatch.setenv("PATH", f"{here / 'programs'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(building, "CONDAS", ("conda",))
    folder = write_method(here, "old", OLD_PANDAS, META.replace("requirements.txt", "environment.yaml"))
    (folder / "environment.yaml").write_text("dependencies: [python=3.11, pandas=0.0.7]\n")
    write_wheel(folder / "wheels", "pandas", "0.0.7", "def level(): return 0.25")
    found = building.ready(locate(METHODS, "old"), Progress(quiet=True))
    assert found.by_conda and found.contents["packages"] == {"pandas": "0.0.7"} and found.contents["builder"] == "conda"


FAKE_CONDA = """
    import subprocess, sys, zipfile
    from pathlib import Path
    words = sys.argv[1:]
    assert words[:2] == ["env", "create"], words
    prefix = Path(words[words.index("--prefix") + 1])
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", prefix])
    (packages,) = prefix.glob("lib/*/site-packages")
    for wheel in Path(words[words.index("--file") + 1]).parent.glob("wheels/*.whl"):
        zipfile.ZipFile(wheel).extractall(packages)
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("environment: more.txt", "environment: there is no file 'more.txt' beside it; put a requirements file"),
        ("environment: ../old/requirements.txt", "environment: .* must match"),
        ("environment: /etc/passwd.txt", "environment: .* must match"),
        ("environment: requirements.toml", "environment: .* must match"),
        ("environment: [numpy]", "environment: .*string"),
        (
            "environment: requirements.txt\nseveral_processes: [train]",
            "started outside it; leave out several_processes",
        ),
    ],
)
def test_what_cannot_be_an_environment_is_refused(here, line, expected):
    folder = write_old(here)
    (folder / "method.yaml").write_text(f"label: Old\nsummary: toy\n{line}\n")
    with pytest.raises(UserError) as caught:
        find(METHODS, "old")
    assert re.search(expected, str(caught.value)), caught.value


def test_what_decides_an_environment_is_its_file_and_what_that_names(here):
    folder = write_old(here)
    first = environment_of(locate(METHODS, "old")).folder
    (folder / "method.py").write_text((folder / "method.py").read_text() + "# edited\n")
    assert environment_of(locate(METHODS, "old")).folder == first
    write_wheel(folder / "wheels", "pandas", "0.0.8", "def level(): return 0.5")
    second = environment_of(locate(METHODS, "old")).folder
    (folder / "requirements.txt").write_text("pandas==0.0.8\n")
    assert len({first, second, environment_of(locate(METHODS, "old")).folder}) == 3
    write_method(here, "plain")
    assert (
        environment_of(locate(METHODS, "plain")) is None
        and building.ready(locate(METHODS, "plain"), Progress()) is None
    )

"""Methods that hang, flood, grab, guess or are written wrongly: each ends with one line, and takes nothing with it."""

import sys

import pytest

from tests.plugins import GRADIENT, fitting, job_of, write_dataset, write_method
from xmodbench import isolation
from xmodbench.cli.plugins import plugins
from xmodbench.devices import resolve_device
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, METHODS, find
from xmodbench.stages.train import train
from xmodbench.stages.wall.output import LAST, MOST


def fault(case, outcome):
    return pytest.mark.fault("plugin", case, outcome)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- written wrongly ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        pytest.param(
            "few",
            ("translate(self, source, generators)", "translate(self, source)"),
            r"class Toy: translate\(self, source\) cannot be called with self, source, generators",
            marks=fault("a function of it takes other arguments", "one line, before any training"),
        ),
        ("many", ("save(self, directory)", "save(self, directory, name)"), r"save\(self, directory, name\) cannot"),
        ("named", ("fit(self, train, run)", "fit(self, *, train, run)"), r"fit\(self, \*, train, run\) cannot"),
    ],
)
def test_functions_take_what_they_are_given(here, name, change, expected):
    folder = write_method(here, f"takes{name}", GRADIENT.replace(*change))
    with pytest.raises(UserError, match=expected) as caught:
        find(METHODS, folder.name)
    assert str(folder / "method.py") in str(caught.value)


def test_further_arguments_are_its_own_business(here):
    body = GRADIENT.replace("translate(self, source, generators)", "translate(self, source, generators, strength=1)")
    assert find(METHODS, write_method(here, "further", body).name)
    body = GRADIENT.replace("fit(self, train, run)", "fit(self, *given)").replace("train.target.mean()", "0")
    assert find(METHODS, write_method(here, "anything", body).name)


NAMES = {
    "newline": ("label: 'a\n\n  b'\nsummary: b\n", "label: holds a line break"),
    "number": ("label: 3\nsummary: b\n", "label: input should be a valid string"),
    "nothing": ("label:\nsummary: b\n", "label: input should be a valid string"),
    "empty": ("label: ''\nsummary: b\n", "label: .* at least 1 character"),
    "long": (f"label: {'x' * 300}\nsummary: b\n", "label: .* at most 60 characters"),
    "gpus": ("label: a\nsummary: b\nresources: {gpu: many}\n", "resources.gpu: input should be a valid integer"),
    "typo": ("label: a\nsummary: b\nresources: {gpus: 1}\n", "resources.gpus: unknown option; did you mean 'gpu'?"),
    "list": ("label: a\nsummary: b\nresources: [1]\n", "resources: "),
    "files": ("label: a\nsummary: b\nfiles: weights\n", "files: input should be a valid list"),
    "twice": ("label: a\nsummary: b\nsmoke: 3\n", "smoke: input should be a mapping"),
}


@fault(
    "`method.yaml` with a number, a line break or 300 characters for a name, or resources that are none",
    "one line names the key",
)
@pytest.mark.parametrize("case", NAMES)
def test_what_the_yaml_says_is_checked(here, case):
    meta, expected = NAMES[case]
    folder = write_method(here, f"says{case}", GRADIENT, meta)
    with pytest.raises(UserError, match=expected) as caught:
        find(METHODS, folder.name)
    assert str(folder / "method.yaml") in str(caught.value) and len(str(caught.value)) < 300


def test_quotes_and_umlauts_are_a_name(here):
    folder = write_method(here, "quoted", GRADIENT, "label: \"Ü 'q' <b>\"\nsummary: b\n")
    assert find(METHODS, folder.name).label == "Ü 'q' <b>"
    bad = write_dataset(here, "badly", "class Toy(Dataset):\n    pass\n", "label: [a]\nsummary: b\n")
    with pytest.raises(UserError, match="label: input should be a valid string"):
        find(DATASETS, bad.name)


@fault("two installed packages bring methods of one name", "one line names both packages")
def test_two_packages_with_one_id(tmp_path, monkeypatch):
    for package in ("one", "two"):
        folder = tmp_path / f"{package}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (folder / "entry_points.txt").write_text("[xmodbench.methods]\ntwice-there = json:JSONEncoder\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UserError, match="^method 'twice-there': two packages bring one of this name: one, two; uninstall"
    ):
        find(METHODS, "twice-there")


@fault("a method in the working folder has the name of a shipped one", "it is used, and `xmodbench plugins` says so")
def test_ones_own_method_goes_before_a_shipped_one(here, capsys):
    folder = write_method(here, "oracle")
    plugins()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("method   oracle ")]
    assert line.endswith(f"toy ({folder}, in place of the shipped one)")


@fault("one method among many cannot be imported", "`xmodbench plugins` lists the others, and says so of this one")
def test_a_broken_method_does_not_hide_the_others(here, capsys):
    write_method(here, "aaa", "raise RuntimeError('no\\nway')")
    with pytest.raises(UserError, match="1 of them cannot be used"):
        plugins()
    lines = capsys.readouterr().out.splitlines()
    assert "BROKEN" in lines[0] and "RuntimeError: no way" in lines[0]
    assert sum("BROKEN" not in line for line in lines) > 15


# -- run --------------------------------------------------------------------------------------------------------------------
# what hangs, dies, grabs memory or ignores the seed is checked in tests/contract/test_check_methods.py
FLOOD = "import sys\nfor _ in range(100): sys.stdout.write('y' * 2**20)\nprint('the end')"


@fault("prints 100 MB", "its log has the first 10 MiB and the end, and says how much is left out")
def test_a_flood_is_cut(tmp_path, make_store, capfdbinary):
    job = job_of(tmp_path, "flooding", fitting(FLOOD))
    train(job, make_store(tmp_path / "train"), "t1", None, tmp_path / "model", tmp_path / "state")
    said = capfdbinary.readouterr().err
    assert MOST + LAST < len(said) < MOST + LAST + 200
    assert said.endswith(b"yythe end\n")
    left_out = 100 * 2**20 + len("the end\n") - MOST - LAST
    assert f"\n[{left_out} bytes of output are left out here]\n".encode() in said


def test_what_a_method_says_is_passed_on_whole(tmp_path, make_store, capfd):
    job = job_of(
        tmp_path, "talking", fitting("import os, sys\nprint('out')\nos.system('echo child')\nsys.stderr.write('err')")
    )
    train(job, make_store(tmp_path / "train"), "t1", None, tmp_path / "model", tmp_path / "state")
    assert sorted(capfd.readouterr().err.split()) == ["child", "err", "out"]


@pytest.mark.skipif(not isolation.landlock_version(), reason="this kernel has no Landlock")
@fault("writes beside its own folders", "one line; nothing is written")
@pytest.mark.parametrize("where", ["elsewhere.txt", "train/t1.npy", "methods/writing/more.py"])
def test_a_method_writes_where_it_may(tmp_path, make_store, where):
    path = tmp_path / where
    job = job_of(tmp_path, "writing", fitting(f"open({str(path)!r}, 'a').write('x')"))
    store = make_store(tmp_path / "train")
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(
        UserError, match=f"method 'writing', fit: was refused '.*{where}'; it may see .*and write to its state"
    ):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert (path.read_bytes() if path.exists() else None) == before


@fault("needs a GPU where there is none", "one line says what to set")
def test_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", NoGpu)
    with pytest.raises(UserError, match="compute.device: no CUDA device here; use `auto` or `cpu`"):
        resolve_device("cuda")
    with pytest.raises(UserError, match="--device: 'gpu' is no device; give auto, cpu or cuda"):
        resolve_device("gpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert resolve_device("cpu") == resolve_device("auto") == "cpu"


class NoGpu:
    """torch on a machine without a GPU."""

    class cuda:
        @staticmethod
        def is_available():
            return False

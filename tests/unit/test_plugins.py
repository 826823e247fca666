"""Plugins: found by folder, checked before use, hashed with what they depend on."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.plugins import write_method
from xmodbench.cli.app import app
from xmodbench.errors import UserError
from xmodbench.files import PACKAGE_ROOT, REPOSITORY
from xmodbench.plan.config import parse_config
from xmodbench.plugins import METHODS, available, find
from xmodbench.plugins.code_hash import modules_used


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_enough(here):
    write_method(here, "mine")
    assert "mine" in available(METHODS)
    assert find(METHODS, "mine").label == "Toy"


LABELLED = "label: a\nsummary: b\n"


def fault(case, outcome="one line names the file"):
    return pytest.mark.fault("plugin", case, outcome)


@pytest.mark.parametrize(
    ("body", "meta", "expected"),
    [
        pytest.param(
            "import nothing_like_this",
            LABELLED,
            r"method.py: cannot be imported \(ModuleNotFoundError",
            marks=fault("it imports what is not installed", "one line names the file and what to install"),
        ),
        pytest.param(
            "class Toy(Method",
            LABELLED,
            r"method.py: cannot be imported \(SyntaxError",
            marks=fault("its code is not valid Python"),
        ),
        pytest.param("x = 1", LABELLED, "defines 0 subclasses", marks=fault("no class in it")),
        pytest.param(
            "class A(Method): pass\nclass B(Method): pass",
            LABELLED,
            "defines 2 subclasses",
            marks=fault("two classes in it"),
        ),
        pytest.param(
            "class A(Method): supervision = Supervision.PAIRED",
            LABELLED,
            "lacks fit, load, save, translate",
            marks=fault("its class lacks a function of the contract", "one line names the functions"),
        ),
        pytest.param(
            "class A(Method): pass",
            "nothing: b\n",
            "needs at least the keys label and summary",
            marks=fault("`method.yaml` without a label"),
        ),
        pytest.param("class A(Method): pass", "{", "not valid YAML", marks=fault("`method.yaml` is not YAML")),
    ],
)
def test_broken_plugins_are_named(here, body, meta, expected, request):
    name = f"broken{abs(hash(request.node.name)) % 10**8}"
    write_method(here, name, body, meta)
    with pytest.raises(UserError, match=expected):
        find(METHODS, name)


def test_ids_that_no_config_can_name_are_listed_as_broken(here):
    write_method(here, "MyNet")
    done = CliRunner().invoke(app, ["plugins"])
    assert done.exit_code == 1 and "1 of them cannot be used" in str(done.exception)
    (line,) = [line for line in done.output.splitlines() if "MyNet" in line]
    assert "BROKEN: method in" in line and "did you mean 'mynet'?" in line
    with pytest.raises(UserError, match="methods.MyNet: 'MyNet' must match"):
        parse_config({"run": "x", "datasets": {"ixi": {}}, "methods": {"MyNet": {}}}, "c.yaml")


def test_no_supervision_is_refused(here):
    body = """
    class Toy(Method):
        def fit(self, train, run): pass
        def save(self, directory): pass
        def load(self, directory, run): pass
        def translate(self, source, generators): return source
    """
    write_method(here, "unsupervised", body)
    with pytest.raises(UserError, match="has no supervision"):
        find(METHODS, "unsupervised")


def test_unknown_plugin_suggests(here):
    with pytest.raises(UserError, match=r"unknown method; did you mean 'oracle'\?"):
        find(METHODS, "oracel")


def test_code_hash_follows_the_code(here):
    folder = write_method(here, "hashed")
    plugin = find(METHODS, "hashed")
    before = plugin.code_hash
    (folder / "README.md").write_text("words")
    assert plugin.code_hash == before
    (folder / "extra.py").write_text("x = 1\n")
    assert plugin.code_hash != before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from xmodbench.seeding import derive_seed", {"seeding.py"}),
        ("def later():\n    import xmodbench.seeding", {"seeding.py"}),
        # a name that a package hands on leads to the module that defines it, not to its neighbours
        ("from xmodbench.plugins import Settings", {"plugins/settings.py"}),
        ("from xmodbench.plugins import Method", {"plugins/method.py", "plugins/settings.py"}),
        ("from xmodbench import records", {"records.py", "files.py"}),
        # what only type checkers see decides nothing, nor does what only says things, nor the version
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from xmodbench import store", set()),
        ("from xmodbench import __version__\nfrom xmodbench.errors import UserError", set()),
    ],
)
def test_every_module_that_is_imported_decides(tmp_path, text, expected):
    (tmp_path / "a.py").write_text(text)
    assert {path.relative_to(PACKAGE_ROOT).as_posix() for path in modules_used((tmp_path / "a.py",))} == expected


def test_relative_imports_of_the_machinery_are_followed():
    """A change in a module that a shared module imports relatively reruns the methods that use it."""
    own = tuple((REPOSITORY / "methods" / "sdedit").glob("*.py"))
    names = {path.name for path in modules_used(own)}
    assert {"training.py", "batches.py", "networks.py", "samplers.py", "seeding.py"} <= names


def test_plan_imports_no_torch():
    """Every plugin of the repository can be planned without waiting for torch."""
    code = (
        "import sys\n"
        "from xmodbench.plugins import DATASETS, METHODS, available, find\n"
        "import xmodbench.plan.jobs, xmodbench.cli\n"
        "for kind in (METHODS, DATASETS):\n"
        "    for name in available(kind): find(kind, name)\n"
        "heavy = {'torch', 'SimpleITK', 'diffusers', 'matplotlib'} & set(sys.modules)\n"
        "print(*heavy); sys.exit(bool(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("value", ["true", "[translate]"])
def test_several_processes_names_trainings(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    name = f"several{len(value)}"
    write_method(tmp_path, name, meta=f"label: A\nsummary: b\nseveral_processes: {value}\n")
    with pytest.raises(UserError, match="several_processes.*input should be"):
        find(METHODS, name)


def test_the_core_needs_pydantic_and_yaml_alone():
    """Snakemake may have an environment of its own; every shipped config is planned there."""
    code = (
        "import sys\n"
        "CORE = {'pydantic', 'pydantic_core', 'yaml', 'typing_extensions', 'typing_inspection', 'annotated_types'}\n"
        "class Others:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.partition('.')[0]\n"
        "        if top not in sys.stdlib_module_names | CORE and not top.startswith(('xmodbench', '_')):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Others())\n"
        "import xmodbench.cli, xmodbench.plan.jobs\n"
        "from xmodbench.plan.config import find_config, load_config, shipped_configs\n"
        "from xmodbench.plan.plan import Plan\n"
        "for name in shipped_configs():\n"
        "    if name != 'folder': assert Plan(load_config(find_config(name)), name).cells\n"
        "assert {'paper', 'demo'} <= set(shipped_configs())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

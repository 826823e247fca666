"""Modules of large packages without the rest of them; whoever wants the rest afterwards gets it."""

import gc
import sys
from importlib import import_module

import pytest

from xmodbench.lean_imports import Uncollected, cannot_be_imported, without_init


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A package whose ``__init__`` takes long."""
    inner = tmp_path / "large" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("import gc\nfrom . import inner\ncollecting = gc.isenabled()\n")
    (inner / "__init__.py").write_text("from .wanted import Wanted\nslow = True\n")
    (inner / "wanted.py").write_text("class Wanted: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "large"]:
        del sys.modules[name]


def test_one_module_is_imported_and_later_all_of_them_with_the_same_class(large):
    with without_init("large", "large.inner"):
        wanted = import_module("large.inner.wanted").Wanted
    assert not {"large", "large.inner"} & set(sys.modules)
    inner = import_module("large").inner
    assert inner.slow and inner.Wanted is wanted


def test_what_is_imported_already_and_what_is_not_there_are_left_alone(large):
    inner = import_module("large.inner")
    with without_init("large.inner", "no_such_package.inner"):
        assert sys.modules["large.inner"] is inner
        assert "no_such_package.inner" not in sys.modules
    assert sys.modules["large.inner"] is inner


def test_a_module_cannot_be_imported_for_a_while(large):
    with cannot_be_imported("large", "sys"):
        assert import_module("sys") is sys
        with pytest.raises(ImportError):
            import_module("large")
    assert import_module("large").inner.slow


@pytest.mark.parametrize("before", [True, False])
def test_garbage_is_left_alone_while_a_package_is_imported(large, before):
    finder = Uncollected("large")
    sys.meta_path.insert(0, finder)
    (gc.enable if before else gc.disable)()
    try:
        assert (import_module("large").collecting, gc.isenabled()) == (False, before)
        assert finder not in sys.meta_path
    finally:
        gc.enable()


def test_garbage_is_collected_again_after_an_import_that_fails(large, tmp_path):
    (tmp_path / "large" / "__init__.py").write_text("import no_such_package\n")
    sys.meta_path.insert(0, Uncollected("large"))
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        import_module("large")
    assert gc.isenabled()


def test_packages_that_are_not_installed_stay_so():
    sys.meta_path.insert(0, Uncollected("no_such_package"))
    with pytest.raises(ModuleNotFoundError):
        import_module("no_such_package")

"""Methods of every kind through the whole workflow, as small as they go; all of them (`make smoke`) where time allows."""

import json

import pytest
import yaml

from tests.workflow.conftest import Work
from xmodbench.files import REPOSITORY
from xmodbench.plugins import METHODS, available

CONFIG = REPOSITORY / "config" / "smoke.yaml"


# swept; borrows; few-shot; in two phases; a control that borrows; one that does not (what compiles: tests.faults.test_kills)
OF_EACH_KIND = ("sdedit", "ilvr", "cyclegan", "stylegan2_inversion", "stylegan2_reconstruction", "copy_source")
"""Methods that take different ways through the workflow. What is a method's own is tried by the contract's tests."""


def run_of(folder, methods):
    """A finished run of some of the methods; its results."""
    work = Work(folder)
    values = yaml.safe_load(CONFIG.read_text())
    values["methods"] = {name: values["methods"][name] for name in methods}
    work.config.write_text(yaml.safe_dump(values))
    done = work.run()
    assert done.returncode == 0, done.stderr
    return work.folder / "results" / "smoke"


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("smoke"), OF_EACH_KIND)


def test_smoke_has_every_method():
    assert set(available(METHODS)) == set(yaml.safe_load(CONFIG.read_text())["methods"])


@pytest.mark.slow
def test_every_method_takes_part(tmp_path):
    results = run_of(tmp_path, yaml.safe_load(CONFIG.read_text())["methods"])
    assert len(list((results / "scores").glob("*.csv"))) == len(available(METHODS)) + 1  # SDEdit twice


def test_every_kind_takes_part(smoke):
    table = json.loads((smoke / "table.json").read_text())
    assert len(list((smoke / "scores").glob("*.csv"))) == len(OF_EACH_KIND) + 1  # SDEdit twice
    assert table["banner"].startswith("Simulated data")


def test_one_unconditional_model_serves_two_starts_and_all_borrowers(smoke):
    trained = {path.parts[-4] for path in (smoke / "models").rglob("record.json")}
    assert "sdedit" in trained
    assert not {name for name in trained if name.startswith(("sdedit-", "ilvr", "egsde_", "energy"))}
    used = {
        json.loads(next((smoke / "translations" / name).rglob("record.json")).read_text())["model_sha256"]
        for name in ("sdedit-start-0_3", "sdedit-start-0_6", "ilvr")
    }
    assert len(used) == 1


def test_inversions_keep_what_lies_on_the_way(smoke):
    summary = json.loads((smoke / "scores" / "stylegan2_inversion.sim_ixi.pd-to-t1.json").read_text())
    assert summary["intermediates"]
    for errors in summary["intermediates"].values():
        assert 0 < errors["mse_target"] < 1
        assert 0 < errors["mse_source"] < 1


def test_trainings_leave_pictures_and_the_report_shows_them(smoke):
    page = (smoke / "report.html").read_text(encoding="utf-8")
    assert page.count('class="losses"') == 4  # three trained methods, one of them in two phases
    assert page.count('class="data"') == 1

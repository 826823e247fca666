"""Every method of the repository through the whole workflow, as small as it goes (`make smoke`)."""

import json

import pytest
import yaml

from tests.workflow.conftest import Work
from xmodbench.files import REPOSITORY
from xmodbench.plugins import METHODS, available

CONFIG = REPOSITORY / "config" / "smoke.yaml"


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    work = Work(tmp_path_factory.mktemp("smoke"))
    work.config = CONFIG
    done = work.run()
    assert done.returncode == 0, done.stderr
    return work.folder / "results" / "smoke"


def test_every_method_takes_part(smoke):
    assert set(available(METHODS)) == set(yaml.safe_load(CONFIG.read_text())["methods"])
    table = json.loads((smoke / "table.json").read_text())
    assert len(list((smoke / "scores").glob("*.csv"))) == 16
    assert table["banner"].startswith("Simulated data")


def test_one_unconditional_model_serves_two_starts_and_all_borrowers(smoke):
    trained = {path.parts[-4] for path in (smoke / "models").rglob("record.json")}
    assert "sdedit" in trained
    assert not {name for name in trained if name.startswith(("sdedit-", "ilvr", "egsde_", "energy"))}
    used = {
        json.loads(next((smoke / "translations" / name).rglob("record.json")).read_text())["model_sha256"]
        for name in ("sdedit-start-0_3", "sdedit-start-0_6", "ilvr", "egsde_zero_shot", "energy_guidance")
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
    assert page.count('class="losses"') == 10  # nine trained methods, one of them in two phases
    assert page.count('class="data"') == 1

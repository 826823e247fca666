"""The built package, installed into a new environment and used from a folder that holds no repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.plugins import GRADIENT, write_method
from xmodbench import __version__
from xmodbench.files import REPOSITORY

TINY = {
    "run": "mine",
    "datasets": {
        "sim_ixi": {
            "directions": ["pd->t1"],
            "settings": {"n_subjects": 3, "scale": 3, "image_size": 32, "slices": {"count": 3}, "split": {"n_test": 1}},
        }
    },
    "methods": {"gradient": {}, "mean_image": {}, "oracle": {}},
    "compute": {"device": "cpu", "threads": 1},
    "scoring": {"bootstrap": 100},
}


def test_it_is_the_wheel_that_answers(installed):
    assert installed.run("xmodbench", "--version").strip() == __version__
    place = Path(installed.run("xmodbench", "where").strip())
    assert place.is_relative_to(installed.bin.parent)
    for name in (
        "Snakefile",
        "workflow/rules/methods.smk",
        "profiles/slurm/profile.yaml",
        "config/smoke.yaml",
        "docs/apply.md",
    ):
        assert (place / name).is_file(), name
    assert os.access(place / "profiles" / "generic" / "status.py", os.X_OK)  # Snakemake starts it
    assert (place.parent / "py.typed").is_file()  # or type checkers would pass over its annotations


def test_methods_and_data_sets_come_along(installed):
    said = installed.run("xmodbench", "plugins")
    own = {path.parent.name for path in (REPOSITORY / "methods").glob("*/method.py")}
    own |= {path.parent.name for path in (REPOSITORY / "data_prep").glob("*/dataset.py")}
    assert own <= set(said.split())
    assert installed.run("xmodbench", "check", "mean_image").count("ok  ") >= 5


def test_a_shipped_config_is_known_by_its_name(installed):
    assert "run 'smoke'" in installed.run("xmodbench", "check", "smoke")
    assert "report" in installed.run("xmodbench", "run", "smoke", "--dry-run", "--quiet", "host")


@pytest.mark.slow  # half a minute; the dry runs below say that all of it is found
def test_a_run_of_ones_own_with_a_plugin_of_ones_own(installed):
    write_method(installed.user, "gradient", GRADIENT)
    (installed.user / "my.yaml").write_text(yaml.safe_dump(TINY))
    installed.run("xmodbench", "run", "my.yaml", "--cores", "2")
    results = installed.user / "results" / "mine"
    assert (results / "report.html").is_file()
    rows = json.loads((results / "table.json").read_text())
    assert "gradient" in json.dumps(rows)
    record = json.loads((results / "models/gradient/sim_ixi/t1/record.json").read_text())
    assert record["versions"]["xmodbench"] == __version__


def test_snakemake_alone_finds_workflow_profile_and_default_config(installed, tmp_path):
    place = installed.run("xmodbench", "where").strip()
    options = ["-s", f"{place}/Snakefile", "--directory", tmp_path, "-n", "--cores", 1]
    said = installed.run("python", "-m", "snakemake", *options, cwd=tmp_path)
    assert "config/paper.yaml" in said and "profiles/default" in said
    assert "goldatlas" in said

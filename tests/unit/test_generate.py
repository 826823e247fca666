"""Generated files agree with the code they are made from, and environments with the lock."""

import json
import re

import jsonschema
import pytest
import yaml

from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY
from xmodbench.generate import generate, generated_files
from xmodbench.generate.environments import read_lock, runtime_packages
from xmodbench.plan.config import BenchmarkConfig


def test_nothing_has_drifted():
    generate(check_only=True)


def test_drift_is_found(monkeypatch):
    stale = {REPOSITORY / "config/schema.json": "{}"}
    monkeypatch.setattr("xmodbench.generate.generated_files", lambda: stale)
    with pytest.raises(UserError, match=r"config/schema.json: out of date; run `xmodbench generate`"):
        generate(check_only=True)


def test_environments_have_the_locks_versions():
    lock = (REPOSITORY / "requirements.lock").read_text()
    locked = set(re.findall(r"^([\w.-]+==[\w.+]+)", lock, flags=re.M))
    for name in ("environment.yml", "workflow/envs/xmodbench.yaml"):
        packages = yaml.safe_load((REPOSITORY / name).read_text())["dependencies"][-1]["pip"]
        pins = {re.match(r"[\w.-]+==[\w.+]+", item)[0] for item in packages if "==" in item}
        assert pins <= locked
        assert {"torch", "snakemake", "simpleitk"} <= {pin.split("==")[0] for pin in pins}


def test_runtime_leaves_test_tools_out():
    text = "\n".join(
        [
            "attrs==1.0 \\", "    --hash=sha256:00", "    # via", "    #   pytest", "    #   snakemake",
            "iniconfig==2.0 \\", "    # via pytest",
            "numpy==2.4 ; python_full_version < '3.12' \\", "    # via snakemake",
            "numpy==2.5 ; python_full_version >= '3.12' \\", "    # via snakemake",
            "pytest==9.0 \\", "    # via xmodbench (pyproject.toml)",
            "snakemake==9.0 \\", "    # via xmodbench (pyproject.toml)",
        ]
    )  # fmt: skip
    pins, parents = read_lock(text)
    kept = {pins[key] for key in runtime_packages(["snakemake"], pins, parents)}
    assert kept == {
        "attrs==1.0",
        "numpy==2.4 ; python_full_version < '3.12'",
        "numpy==2.5 ; python_full_version >= '3.12'",
        "snakemake==9.0",
    }


def test_no_index_addresses_in_the_lock():
    lock = (REPOSITORY / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--hash=sha256:" in lock


@pytest.mark.parametrize("name", sorted(path.name for path in (REPOSITORY / "config").glob("*.yaml")))
def test_committed_configs_fit_the_schema(name):
    values = yaml.safe_load((REPOSITORY / "config" / name).read_text())
    BenchmarkConfig.model_validate(values)
    values["methods"] = {key: entry or {} for key, entry in values["methods"].items()}
    values["datasets"] = {key: entry or {} for key, entry in values["datasets"].items()}
    jsonschema.validate(values, json.loads((REPOSITORY / "config" / "schema.json").read_text()))


def test_every_option_is_documented():
    text = generated_files()[REPOSITORY / "config/README.md"]
    for option in ("fid_weights", "directions", "batch_size", "image_size", "preset"):
        assert f"| `{option}` |" in text
    assert not re.search(r"\| `\w+` \|[^|]*\|[^|]*\| +\|", text), "an option without a description"

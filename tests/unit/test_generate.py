"""Generated files agree with the code they are made from, and environments with the lock."""

import json
import re
import tomllib

import jsonschema
import pytest
import yaml

from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY
from xmodbench.generate import generate, generated_files
from xmodbench.generate.lock import Lock, bare
from xmodbench.generate.markers import between
from xmodbench.plan.config import BenchmarkConfig


def test_nothing_has_drifted():
    generate(check_only=True)


def test_drift_is_found(monkeypatch):
    stale = {REPOSITORY / "config/schema.json": "{}"}
    monkeypatch.setattr("xmodbench.generate.generated_files", lambda: stale)
    with pytest.raises(UserError, match=r"config/schema.json: out of date; run `xmodbench generate`"):
        generate(check_only=True)


ENVS = REPOSITORY / "workflow" / "envs"


def locked(script: str) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes by package, as an environment's script hands them to pip."""
    found = {}
    for line in (ENVS / script).read_text().partition("LOCKED'\n")[2].partition("LOCKED\n")[0].splitlines():
        requirement, *hashes = line.split()
        name, _, version = requirement.partition("==")
        assert name not in found, "a package in two versions"
        found[name] = (version, {item.removeprefix("--hash=") for item in hashes})
    return found


@pytest.mark.parametrize("environment", ["xmodbench", "xmodbench-cpu"])
def test_environments_have_the_locks_versions_and_hashes(environment):
    found = locked(f"{environment}.post-deploy.sh")
    pins = {
        (pin.name, pin.version): set(pin.hashes)
        for pin in Lock.read((REPOSITORY / "requirements.lock").read_text()).pins
    }
    assert all(hashes and hashes == pins[name, version] for name, (version, hashes) in found.items())
    assert {"numpy", "simpleitk", "scipy"} <= found.keys()
    # nothing of Snakemake, of tests, of other systems
    assert not {"snakemake", "conda-inject", "yte", "pytest", "colorama", "cffi"} & found.keys()
    cuda = {name for name in found if name.startswith(("torch", "triton", "nvidia", "cuda"))} - {"torchmetrics"}
    if environment.endswith("-cpu"):
        assert not cuda
    else:
        assert {"torch", "torchvision", "triton", "nvidia-cublas"} <= cuda


def test_every_import_of_the_package_is_in_the_environments():
    """The package's own dependencies but Snakemake, which runs outside of them."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    direct = {bare(item) for item in project["dependencies"]}
    assert direct - locked("xmodbench.post-deploy.sh").keys() == {"snakemake"}
    assert direct - locked("xmodbench-cpu.post-deploy.sh").keys() == {"snakemake", "torch", "torchvision"}
    given = yaml.safe_load((ENVS / "xmodbench-cpu.yaml").read_text())["dependencies"]
    assert {"pytorch-cpu", "torchvision"} <= {item.split()[0] for item in given}


def test_conda_is_asked_for_the_locks_pytorch_first():
    lock = Lock.read((REPOSITORY / "requirements.lock").read_text())
    pins = (ENVS / "xmodbench-cpu.linux-64.pin.txt").read_text().splitlines()
    assert {f"pytorch-cpu={lock.version('torch')}", f"torchvision={lock.version('torchvision')}"} <= set(pins)


def test_the_pixi_manifest_has_the_locks_versions():
    manifest = tomllib.loads((REPOSITORY / "pixi.toml").read_text())
    lock = Lock.read((REPOSITORY / "requirements.lock").read_text())
    given = manifest["pypi-dependencies"] | manifest["feature"]["cuda"]["pypi-dependencies"]
    assert given.pop("xmodbench")["editable"] is True
    here = {pin.name: f"=={pin.version}" for pin in lock.pins if pin.holds("3.11")}
    assert {name: here[name] for name in given} == given
    assert manifest["feature"]["cpu"]["dependencies"].keys() == {"pytorch-cpu", "torchvision"}


def test_what_only_one_package_needs_goes_with_it():
    text = "\n".join(
        [
            "attrs==1.0 \\", "    --hash=sha256:00", "    # via", "    #   pytest", "    #   snakemake",
            "colorama==0.4 ; sys_platform == 'win32' \\", "    --hash=sha256:01", "    # via tqdm",
            "iniconfig==2.0 \\", "    # via pytest",
            "numpy==2.4 ; python_full_version < '3.12' \\", "    --hash=sha256:02", "    # via tqdm",
            "numpy==2.5 ; python_full_version >= '3.12' \\", "    --hash=sha256:03", "    # via tqdm",
            "pytest==9.0 \\", "    # via xmodbench (pyproject.toml)",
            "snakemake==9.0 \\", "    # via xmodbench (pyproject.toml)",
            "tqdm==4.0 \\", "    --hash=sha256:04", "    --hash=sha256:05", "    # via xmodbench (pyproject.toml)",
        ]
    )  # fmt: skip
    lock = Lock.read(text)
    names = {pin.name for pin in lock.needed_by(["tqdm", "snakemake"])}
    assert names == {"attrs", "colorama", "numpy", "snakemake", "tqdm"}
    needed = lock.needed_by(["tqdm", "snakemake"], without=["snakemake"])
    for python, numpy in {"3.11": "numpy==2.4 --hash=sha256:02", "3.12": "numpy==2.5 --hash=sha256:03"}.items():
        kept = [pin.requirement() for pin in needed if pin.holds(python)]
        assert kept == [numpy, "tqdm==4.0 --hash=sha256:04 --hash=sha256:05"]


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


@pytest.mark.parametrize(
    ("page", "missing"), [("text\nEND\n", "BEGIN"), ("BEGIN\ntext\n", "END"), ("END\nBEGIN\n", "END")]
)
def test_a_page_without_both_markers_is_refused(tmp_path, page, missing):
    with pytest.raises(UserError, match=f"page.md: lacks the marker {missing}; put both"):
        between(page, "BEGIN", "END", "made", tmp_path / "page.md")


def test_only_what_stands_between_the_markers_is_made_anew(tmp_path):
    page = "END\nbefore BEGIN old END after BEGIN2 kept END"
    made = between(page, " BEGIN", "END", "new", tmp_path)
    assert made == "END\nbefore BEGIN\n\nnew\nEND after BEGIN2 kept END"
    assert between(made, " BEGIN", "END", "new", tmp_path) == made

"""What README.md promises somebody who comes with an idea, a model or a volume: each walk, with the installed package."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import nibabel
import nilearn
import pytest
import yaml
from skimage.registration import phase_cross_correlation

from tests.contract.pages import blocks
from tests.phantoms import darker, grid, head, write
from xmodbench.files import REPOSITORY

pytestmark = pytest.mark.slow
README = (REPOSITORY / "README.md").read_text()
TRAINED_FOR_MINUTES = ("midiffusion", "sdedit", "cyclegan", "stylegan2_inversion")
MODEL, SCAN = "results/demo/models/mine/sim_ixi/t1", "raw/sim_ixi/IXI909-SIM-0009-PD.nii.gz"


@pytest.fixture(scope="module")
def folder(installed):
    """Where the demo ran, but for the methods that take minutes, and where a scaffolded method then joined it."""
    here = installed.user / "walks"
    here.mkdir()
    shipped = Path(installed.run("xmodbench", "where", "config").strip()) / "demo.yaml"
    demo = yaml.safe_load(shipped.read_text())
    demo["methods"] = {name: entry for name, entry in demo["methods"].items() if name not in TRAINED_FOR_MINUTES}
    (here / "demo.yaml").write_text(yaml.safe_dump(demo, sort_keys=False))
    (here / "planned.json").write_text(installed.run("xmodbench", "plan", "demo.yaml", "--json", cwd=here))
    installed.run("xmodbench", "run", "demo.yaml", "--cores", "2", cwd=here)
    shutil.copytree(here / "results/demo/benchmarks", here / "took")
    installed.run("xmodbench", "new", "method", "mine", cwd=here)
    assert installed.run("xmodbench", "check", "mine", cwd=here).count("ok  ") >= 5
    installed.run("xmodbench", "run", "demo.yaml", "--set", "methods.mine={}", "--cores", "2", cwd=here)
    return here


@pytest.mark.parametrize(
    "command",
    [
        "new method mine",
        "check mine",
        f"apply {MODEL.replace('mine', 'midiffusion')} {SCAN} t1.nii.gz",
        "export MODEL t1.zip",
    ],
)
def test_these_are_the_readme_s_commands(command):
    assert f"xmodbench {command}" in README


def test_a_scaffolded_method_appears_in_the_demo_s_table(folder):
    assert "| Mine |" in re.sub(r"\s+", " ", (folder / "results/demo/table.md").read_text())
    rows = json.loads((folder / "results/demo/table.json").read_text())["rows"]
    mine = [row for row in rows if row["method"] == "mine"]
    assert {(row["source"], row["target"]) for row in mine} == {("pd", "t1"), ("t1", "pd")}
    assert {row["status"] for row in mine} == {"complete"}
    # at the cost of its own jobs
    done = (folder / "methods/mine/method.py").stat().st_mtime
    others = [path for path in (folder / "results/demo/translations").rglob("record.json") if "mine" not in path.parts]
    assert len(others) == 8 and all(path.stat().st_mtime < done for path in others)


def test_what_was_planned_is_what_happened(folder, installed):
    """As many jobs, and hours within a factor of two, on the processor: what else runs here no estimate knows."""
    planned, took = json.loads((folder / "planned.json").read_text()), defaultdict(list)
    for path in (folder / "took").rglob("*.tsv"):
        with path.open() as lines:
            seconds = float(list(csv.DictReader(lines, delimiter="\t"))[-1]["cpu_time"])
        took[path.relative_to(folder / "took").parts[0].removesuffix(".tsv")].append(seconds)
    assert {rule: len(jobs) for rule, jobs in took.items()} == planned["jobs"]
    assert not any(item["unknown"] for item in planned["cpu_seconds"].values())
    known, spent = sum(item["known"] for item in planned["cpu_seconds"].values()), sum(map(sum, took.values()))
    assert spent / 2 < known < 2 * spent
    status = installed.run("xmodbench", "status", cwd=folder)
    assert re.search(r"demo: (\d+) jobs: \1 done", status), status


def test_a_volume_in_is_a_volume_out_that_lies_on_it(folder, installed):
    """By the shift that makes them most alike: the scaffolded method changes grey levels alone."""
    installed.run("xmodbench", "apply", MODEL, SCAN, "t1.nii.gz", cwd=folder)
    given, made = (nibabel.load(folder / name) for name in (SCAN, "t1.nii.gz"))
    assert (given.affine == made.affine).all() and given.shape == made.shape
    shift, *_ = phase_cross_correlation(given.get_fdata(), made.get_fdata(), upsample_factor=50)
    assert abs(shift).max() < 0.1


def test_a_volume_that_is_no_simulation_lies_on_it_too(folder, installed):
    """The ICBM152 mean T1, which nilearn brings along: 1 mm, of the brain alone, so that it has to be forced."""
    given = Path(nilearn.__file__).parent / "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    model = MODEL.replace("/t1", "/pd")
    with pytest.raises(AssertionError, match="axial slices are 1 mm apart, in training .*--force goes on"):
        installed.run("xmodbench", "apply", model, given, "icbm.nii.gz", cwd=folder)
    assert not (folder / "icbm.nii.gz").exists()
    installed.run("xmodbench", "apply", model, given, "icbm.nii.gz", "--force", cwd=folder)
    there, made = nibabel.load(given), nibabel.load(folder / "icbm.nii.gz")
    assert (there.affine == made.affine).all() and there.shape == made.shape
    shift, *_ = phase_cross_correlation(there.get_fdata(), made.get_fdata(), upsample_factor=50)
    assert abs(shift).max() < 0.5  # of slices with pixels several times as large


def test_a_model_that_travels_translates_to_the_same_bits(folder, installed):
    there = installed.user / "elsewhere"
    there.mkdir()
    installed.run("xmodbench", "export", MODEL, "t1.zip", cwd=folder)
    shutil.copytree(folder / "methods", there / "methods")
    installed.run("xmodbench", "import", folder / "t1.zip", "came", cwd=there)
    slices = ("--data", folder / "data/heads64/sim_ixi/test", "--source", "pd", "--target", "t1")
    installed.run(
        "xmodbench", "translate", "mine", "--model", "came", *slices, "--out", "out", "--device", "cpu", cwd=there
    )
    made = folder / "results/demo/translations/mine/sim_ixi/pd-to-t1/t1.npy"
    assert (there / "out/t1.npy").read_bytes() == made.read_bytes()


def test_a_scaffolded_data_set_prepares_volumes(installed):
    """docs/add-a-dataset.md with volumes as they come: two contrasts of three heads, on grids of their own."""
    here = installed.user / "scans"
    here.mkdir()
    page = blocks("add-a-dataset.md")
    commands = [line.split()[1:] for block in page if block.language == "sh" for line in block.text.splitlines()]
    for words in commands[:2]:
        installed.run("xmodbench", *words, cwd=here)
    for number in range(3):
        scan = here / f"raw/my_scans/p{number:02d}/p{number:02d}"
        write(scan.with_name(f"{scan.name}-T1.nii.gz"), head("mr", grid("PSR", angles=(3, 2, -4)), seed=number))
        write(scan.with_name(f"{scan.name}-T2.nii.gz"), darker(head("mr", grid(), seed=number + 9)))
    for block in page:
        if block.file:
            (here / block.file).write_text(block.text)
    (here / "data_prep/my_scans/toy.py").unlink()
    for words in commands[2:]:
        installed.run("xmodbench", *words, cwd=here)
    made = json.loads((here / "data/my_scans/train/manifest.json").read_text())
    assert set(made["arrays"]) == {"t1", "t2"} and made["subjects"] == ["p00", "p01"] and not made["excluded"]

"""docs/add-a-dataset.md is true: its commands run on volumes named as it says."""

import runpy
import shutil
from pathlib import Path

import yaml

from tests.contract.pages import blocks, do
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan
from xmodbench.store import SliceStore


def own_volumes(raw: Path) -> None:
    """Volumes of four volunteers in place of those that the plugin made, named as the page says."""
    write = runpy.run_path("data_prep/my_scans/toy.py")["write_subjects"]
    raw.mkdir(parents=True)
    write(raw, 5)
    for number in range(1, 5):
        for name in ("T1", "T2"):
            (raw / f"p0{number}").mkdir(exist_ok=True)
            shutil.move(
                raw / f"toy{number}" / f"toy{number}-{name}.nii.gz", raw / f"p0{number}/p0{number}-{name}.nii.gz"
            )
        (raw / f"toy{number}").rmdir()


def test_the_page_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begin, metadata, code, check, see, config = blocks("add-a-dataset.md")
    assert do(begin).count("ok     ") == 5
    own_volumes(Path("raw/my_scans"))
    Path("data_prep/my_scans/toy.py").unlink()
    for block in (metadata, code):
        assert block.file in ("data_prep/my_scans/dataset.yaml", "data_prep/my_scans/dataset.py")
        do(block)
    assert do(check).count("ok     ") == 5
    assert "results/inspect/my_scans" in do(see)
    train, test = SliceStore(Path("data/my_scans/train")), SliceStore(Path("data/my_scans/test"))
    assert set(train.subjects) == {"p01", "p02", "p03"} and set(test.subjects) == {"p04"}
    plan = Plan(parse_config(yaml.safe_load(config.text), "the page"), "the page")
    assert len(plan.cells) == 3 and not plan.simulated("my_scans")

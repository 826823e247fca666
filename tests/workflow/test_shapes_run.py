"""Methods that are handed more than a slice, through the whole workflow, in directions of one source and of two."""

import json

import numpy as np
import pytest

from tests.contract.pages import blocks, do
from tests.environments import META, OLD_PANDAS, with_uv, write_old
from tests.workflow.conftest import Work, write_volumes
from xmodbench.store import SliceStore

PATTERNS = {name: f"{{subject}}_{name.upper()}.nii.gz" for name in ("pd", "t1", "t2")}
METHODS = {
    "unet25d": {"settings": {"steps": 30}, "translate_jobs": 2},
    "two_sources": {},
    "volume_levels": {"translate_jobs": 2},
    "old": {},
    "copy_source": {},
    "oracle": {},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    import SimpleITK as sitk

    work = Work(tmp_path_factory.mktemp("shapes"))
    write_volumes(work.folder / "volumes")
    for path in (work.folder / "volumes").glob("*_PD.nii.gz"):  # a third contrast, from the two that are there
        pd, t1 = (sitk.ReadImage(str(path.with_name(path.name.replace("PD", name)))) for name in ("PD", "T1"))
        sitk.WriteImage(pd // 2 + t1 // 3, str(path.with_name(path.name.replace("PD", "T2"))))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work.folder)
        for block in blocks("shapes.md"):
            if block.file:
                do(block)
        with_uv(work.folder, patch)
        write_old(work.folder, OLD_PANDAS).joinpath("method.yaml").write_text(META)
        settings = {"patterns": PATTERNS, "image_size": 32, "split": {"n_test": 2}}
        heads = {"plugin": "folder", "raw": "volumes", "directions": ["pd->t1", "pd+t2->t1"], "settings": settings}
        work.write_config(datasets={"heads": heads}, methods=METHODS)
        import os

        from tests.workflow import conftest

        patch.setattr(
            conftest, "ENVIRONMENT", {**conftest.ENVIRONMENT, **{k: os.environ[k] for k in ("PATH", "XDG_CACHE_HOME")}}
        )
        finished = work.run()
    assert finished.returncode == 0, finished.stderr
    return work


@pytest.mark.slow
def test_each_stands_where_it_can(done):
    rows = json.loads((done.results / "table.json").read_text())["rows"]
    assert {row["status"] for row in rows} <= {"complete", "not applicable"}
    found = {(row["method"], row["source"]) for row in rows}
    assert found == {
        *((name, "pd") for name in ("unet25d", "volume_levels", "old", "copy_source", "oracle")),
        *((name, "pd+t2") for name in ("two_sources", "copy_source", "oracle")),
    }
    record = json.loads((done.results / "models/two_sources/heads/t1-from-pd+t2/record.json").read_text())
    assert record["handed"]["sources"] == [2, 4] and set(record["data_sha256"]) == {"pd", "t1", "t2"}
    test = SliceStore(done.folder / "data/heads/test")
    copies = SliceStore(done.results / "translations/copy_source/heads/pd+t2-to-t1")
    np.testing.assert_array_equal(copies.array("t1"), test.array("pd"))
    assert "source (T2)" in (done.results / "figure.svg").read_text() or (done.results / "figure.png").is_file()


@pytest.mark.slow
def test_a_second_run_does_nothing(done):
    again = done.planned()
    assert again == {} or set(again) == {"benchmark"}

"""A config names an exported model: nothing is trained, the translations are those of the run it came from."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import nibabel
import pytest
import yaml

from tests.workflow.conftest import ENVIRONMENT
from xmodbench.data.exported import CARD, CARD_TEXT
from xmodbench.files import REPOSITORY, read_json, sha256_file, write_json
from xmodbench.plan.config import load_config
from xmodbench.plan.plan import Plan
from xmodbench.report.imported import imported_notes
from xmodbench.report.model import Report

MODEL = "results/tiny/models/gradient/heads/t1"
IMAGES = "translations/gradient/heads/pd-to-t1/t1.npy"


def xmodbench(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Run a command of the documentation, such as ``xmodbench export ...``, in a folder."""
    done = subprocess.run(
        ["python", "-m", *words], cwd=folder, capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    return done


def use(work, **entry) -> None:
    """Let the run translate with exported models."""
    values = yaml.safe_load(work.config.read_text())
    values["methods"] = {"gradient": {"translate_jobs": 2, **entry}, "copy_source": {}}
    work.config.write_text(yaml.safe_dump(values))


def test_the_documentation_is_true(work, monkeypatch):
    """Every command of docs/models.md, in its order; and the config there, in the folder that the model came to."""
    text = (REPOSITORY / "docs" / "models.md").read_text()
    for word, here in {"midiffusion": "gradient", "results/mine": "results/tiny"}.items():
        text = text.replace(word, here)
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    assert [shlex.split(line)[:2] for line in commands] == [
        ["xmodbench", verb] for verb in ("export", "import", "apply", "translate")
    ]
    shutil.copy(work.folder / "volumes" / "sub0_PD.nii.gz", work.folder / "pd.nii.gz")
    for line in commands:
        xmodbench(work.folder, *shlex.split(line.partition("  #")[0]))
    given, made = (nibabel.load(work.folder / name) for name in ("pd.nii.gz", "t1.nii.gz"))
    assert made.shape == given.shape and (made.affine == given.affine).all()
    there = (work.folder / "out" / "t1.npy").read_bytes()
    assert there == (work.results / IMAGES).read_bytes()

    (entry,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if "model:" in block)
    shutil.rmtree(work.results / "models")
    use(work, **entry["methods"]["gradient"])
    planned = work.planned()
    assert "train" not in planned and planned["import_model"] == 1
    done = work.run()
    assert done.returncode == 0, done.stderr
    assert (work.results / IMAGES).read_bytes() == there
    (work.folder / "t1.zip").touch()
    assert work.planned() == {}
    for name in ("report.html", "table.md"):
        assert "that was imported (t1.zip" in (work.results / name).read_text()
    record = read_json(work.folder / MODEL / "record.json")
    assert record["verb"] == "train" and record["imported"]["sha256"] == sha256_file(work.folder / "t1.zip")
    check_elsewhere(work, monkeypatch, record)

    # another hash reruns its cells; the time alone reran nothing
    for name in (CARD, CARD_TEXT):
        (work.folder / "came" / name).unlink()
    xmodbench(work.folder, "xmodbench", "export", "came", "t1.zip", "--licence", "mine")
    planned = work.planned()
    assert {name: count for name, count in planned.items() if name != "benchmark"} == {
        "import_model": 1,
        "translate_part": 2,
        "gather": 1,
        "score": 1,
        "report": 1,
    }


def check_elsewhere(work, monkeypatch, record) -> None:
    """The same model, had it been trained on other data: nobody knows what it has seen, and the report says so."""
    monkeypatch.chdir(work.folder)
    plan = Plan(load_config("config.yaml"), "config.yaml")
    assert imported_notes(Report.read(plan, False))[0].endswith("trained on the same training slices.")
    other = {**record["prepared"], "sha256": "0" * 64}
    changed = {**record, "prepared": other, "imported": {**record["imported"], "other_code": True}}
    write_json(work.folder / MODEL / "record.json", changed)
    (note,) = imported_notes(Report.read(plan, False))
    assert "Nothing here shows that it has not seen the test subjects of heads. Its plugin has other code" in note
    write_json(work.folder / MODEL / "record.json", record)


@pytest.fixture
def exported(work):
    xmodbench(work.folder, "xmodbench", "export", MODEL, "t1.zip")
    return work


def test_the_card_has_the_scores_of_the_run(exported):
    xmodbench(exported.folder, "xmodbench", "import", "t1.zip", "came")
    card = read_json(exported.folder / "came" / CARD)
    (row,) = [row for row in card["scores"] if row["metric"] == "paper.psnr"]
    table = json.loads((exported.results / "table.json").read_text())["rows"]
    own, copy = (
        next(item for item in table if (item["method"], item["metric"]) == (name, "paper.psnr"))
        for name in ("gradient", "copy_source")
    )
    assert (row["mean"], row["ci_low"], row["copying"]) == (own["mean"], own["ci_low"], copy["mean"])
    text = (exported.folder / "came" / "model-card.md").read_text()
    assert (
        f"| paper.psnr | {own['mean']:.4g} dB [{own['ci_low']:.4g}, {own['ci_high']:.4g}] | {copy['mean']:.4g} |"
        in text
    )


def test_a_model_that_changes_under_a_run_is_one_line(exported):
    use(exported, model={"file": "t1.zip", "sha256": "0" * 64})
    done = exported.run()
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert "methods.gradient.model.sha256: t1.zip has SHA-256 " in line and "not the one that is given" in line

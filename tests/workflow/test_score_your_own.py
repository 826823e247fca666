"""docs/score-your-own.md, command by command, on a tiny run; and what the workflow does when predictions change."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from tests.workflow.conftest import ENVIRONMENT, Work
from xmodbench.cli.app import app
from xmodbench.files import REPOSITORY, read_json

PAGE = REPOSITORY / "docs" / "score-your-own.md"
ENTRY = {"id": "inverted", "folder": "theirs-png", "dataset": "heads", "direction": "pd->t1"}


def blocks() -> list[tuple[str, str]]:
    """Language and text of the page's blocks of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def typed(line: str, work: Work) -> None:
    """A line as a person would type it; in this process where it does not start others."""
    words = shlex.split(line)
    if words[0] == "xmodbench" and words[1] != "run":
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, (line, done.output, done.exception)
        return
    command = {"xmodbench": [sys.executable, "-m", "xmodbench"], "python": [sys.executable]}[words[0]]
    done = subprocess.run(
        [*command, *words[1:]], cwd=work.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (line, done.stderr)


@pytest.fixture(scope="module")
def followed(finished, tmp_path_factory):
    """A copy of the tiny run in which everything on the page was done."""
    work = Work(tmp_path_factory.mktemp("page") / "copy")
    subprocess.run(["cp", "-a", str(finished.folder), str(work.folder)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work.folder)
        for language, text in blocks():
            if language == "python":
                Path(re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
            elif language == "yaml":
                values = yaml.safe_load(work.config.read_text()) | yaml.safe_load(text)
                work.config.write_text(yaml.safe_dump(values))
            else:
                for line in text.splitlines():
                    if "merge" in line:
                        shutil.copytree(work.results, work.folder / "colleague" / "tiny")
                    typed(line, work)
    return work


def rows(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "table.csv")
    return table[table["metric"] == "standard.psnr"].set_index("method")


def test_a_foreign_scripts_images_stand_in_the_table(followed):
    table = rows(followed.results)
    assert set(table.index) >= {"gradient", "inverted-png", "inverted-nifti", "inverted"}
    theirs = table.loc[["inverted-png", "inverted-nifti", "inverted"]]
    assert (theirs["status"] == "complete").all() and theirs["made_elsewhere"].all()
    assert set(theirs["supervision"]) == {"zero-shot"}
    assert not table.loc["gradient", "made_elsewhere"]
    # one method in three forms: 8 bits, floats in a volume, and through the workflow
    assert theirs["mean"].max() - theirs["mean"].min() < 0.01
    assert table.loc["inverted", "mean"] == table.loc["inverted-png", "mean"]


def test_the_report_says_who_made_them(followed):
    page = (followed.results / "report.html").read_text()
    assert page.count("made elsewhere") >= 3
    assert "nothing here kept them from it (isolation: none)" in page
    table = read_json(followed.results / "table.json")
    assert table["isolation"]["inverted.heads.pd-to-t1"] == {"translate": "none"}
    failed = [check for check in table["checks"] if check["passed"] is False]
    assert not [check for check in failed if "Inverted" in check["control"]]


def test_runs_are_merged(followed):
    merged, own = rows(followed.folder / "merged"), rows(followed.results)
    assert merged["mean"].to_dict() == own["mean"].to_dict()


def test_changed_predictions_are_scored_again_and_nothing_else(followed):
    assert followed.planned() == {}
    path = sorted((followed.folder / "theirs-png").glob("*.png"))[0]
    before = path.stat()
    shutil.copy(sorted((followed.folder / "inputs" / "test" / "pd").glob("*.png"))[0], path)
    os.utime(path, (before.st_atime, before.st_mtime - 1000))  # older than what was made of it
    planned = {name: count for name, count in followed.planned().items() if name != "benchmark"}
    assert planned == {"import_predictions": 1, "score": 1, "report": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folder": "nowhere"}, "predictions.0.folder: no such folder: nowhere (config.yaml)"),
        ({"id": "oracle"}, "predictions.0.id: a method of this run has the id 'oracle'"),
        ({"dataset": "head"}, "predictions.0.dataset: unknown data set 'head'; did you mean 'heads'?"),
        ({"direction": "t1->pd"}, "predictions.0.direction: this run has no 't1->pd' of it, but pd->t1"),
        ({"files": "slice.png"}, "predictions.0.files: 'slice.png' does not say where the name stands"),
    ],
)
def test_an_entry_that_cannot_be_meant_stops_the_run_before_it_starts(fresh, monkeypatch, change, message):
    from xmodbench.errors import UserError
    from xmodbench.plan.config import load_config
    from xmodbench.plan.elsewhere import check_folders
    from xmodbench.plan.plan import Plan

    monkeypatch.chdir(fresh.folder)
    (fresh.folder / "theirs-png").mkdir()
    fresh.write_config(predictions=[ENTRY | change])
    with pytest.raises(UserError) as error:
        plan = Plan(load_config("config.yaml"), "config.yaml")
        check_folders(plan.config.predictions, plan.where)
    assert str(error.value).startswith(message)
    if "folder" in change:
        done = fresh.snakemake("-n")
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr

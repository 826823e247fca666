"""Records that do not belong together, or not to the plan, make no numbers."""

import pytest

from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.report import build_report
from xmodbench.report.collect import collect_cell


def note(folder, name="record.json", **facts):
    write_json(folder / name, {**read_json(folder / name), **facts})


@pytest.fixture
def cell(copied):
    return next(cell for cell in copied.cells if cell.method == "good")


def places(plan, cell):
    scores = plan.scores_file(cell)
    return {
        "prepare": (plan.data_dir(cell.dataset), "record.json"),
        "train": (plan.model_dir(cell), "record.json"),
        "translate": (plan.translation_dir(cell), "record.json"),
        "score": (scores.parent, f"{scores.stem}.record.json"),
    }


def smaller(plan, cell):
    """What a record says of data of 32 pixels."""
    return {"settings": plan.prepared(cell.dataset)["settings"] | {"image_size": 32}}


OTHERWISE = {
    "prepare": ({}, "done with image_size 32, not 128"),
    "train": ({"seed": 7}, "done with seed 7, not 1"),
    "translate": ({"plugin": "other"}, "done with plugin other, not good"),
    "score": ({"settings": {"bootstrap": 300}}, "done with bootstrap 300, not 200"),
}


@pytest.mark.parametrize("verb", OTHERWISE)
def test_what_was_done_otherwise_than_planned(copied, cell, tmp_path, verb):
    assert collect_cell(copied, cell).complete
    facts, said = OTHERWISE[verb]
    facts = facts or smaller(copied, cell)
    note(*places(copied, cell)[verb], **facts)
    found = collect_cell(copied, cell)
    assert found.status == "failed" and found.stale and found.scores is None
    assert found.reason == f"{verb}: {said}; {verb} again"
    with pytest.raises(UserError, match=rf"good.heads.*: {verb}: {said}.*; or see with --partial what there is"):
        build_report(copied, tmp_path / "out", False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["train", "score"])
def test_data_that_are_gone_still_tell_how_they_were_prepared(copied, cell, verb):
    note(*places(copied, cell)[verb], prepared=smaller(copied, cell))
    (copied.data_dir(cell.dataset) / "record.json").unlink()
    assert f"{verb}: done on data prepared with image_size 32, not 128" in collect_cell(copied, cell).reason


LINKS = {
    ("translate", "model_sha256"): "a model",
    ("translate", "data_sha256"): "a store of slices",
    ("score", "translation_sha256"): "a translation",
    ("score", "test_sha256"): "a test store",
    ("train", "data_sha256"): "a store of slices",
}


@pytest.mark.parametrize(("verb", "name"), LINKS)
def test_what_was_made_of_something_that_is_no_longer_there(copied, cell, verb, name):
    known = places(copied, cell)
    for earlier in ("train", "translate"):
        note(*known[earlier], outputs_sha256="a")
    several = name == "test_sha256" or (verb, name) == ("train", "data_sha256")
    note(*known[verb], **{name: {"t1": "b"} if several else "b"})
    if verb != "score" or name != "translation_sha256":
        note(*known["score"], translation_sha256="a")
    assert f"{verb}: done with {LINKS[verb, name]} that is no longer there" in collect_cell(copied, cell).reason


def test_a_partial_report_shows_the_cell_as_failed(copied, cell, tmp_path):
    note(copied.model_dir(cell), seed=7)
    build_report(copied, tmp_path / "out", True)
    assert "train: done with seed 7, not 1" in (tmp_path / "out" / "report.html").read_text()


def test_another_raw_folder_is_other_data(copied, cell):
    folder = copied.data_dir(cell.dataset)
    note(folder, raw=str(copied.raw_dir(cell.dataset).resolve()))
    assert collect_cell(copied, cell).complete
    note(folder, raw="elsewhere")
    assert collect_cell(copied, cell).reason.startswith("prepare: done from elsewhere, not ")

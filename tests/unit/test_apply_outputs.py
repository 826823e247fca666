"""`apply` replaces and deletes what it wrote itself, and nothing else."""

import shutil
from pathlib import Path

import pytest

from tests.phantoms import COPIER, grid, head, write
from tests.unit.test_apply_dicom import run, series
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.stages.apply_items import Item
from xmodbench.stages.apply_outputs import check_apart, earlier_of, output_sha256

MINE = b"a scan of somebody's own"
BROKEN = COPIER.replace("return source", "return 1 / 0")


def item(out: Path, given: Path | None = None) -> Item:
    return Item({"mr": given or out.parent / "in.nii.gz"}, out, "mr")


def wrote(out: Path, spread: bool = False, **changed) -> Item:
    """What an earlier call left: the result, its record and, of several samples, their deviation."""
    made = item(out)
    if made.dicom:
        out.mkdir()
        (out / "0001.dcm").write_bytes(b"a slice")
    else:
        out.write_bytes(b"a result")
    record = {"verb": "apply", "status": "complete", "result": out.name, "output_sha256": output_sha256(out)}
    if spread:
        made.spread.write_bytes(b"its deviation")
        record["spread"] = {"file": made.spread.name, "sha256": output_sha256(made.spread)}
    write_json(made.record, record | changed)
    return made


OUTS = ("t1.nii.gz", "t1.nii", "t1")


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("samples", [1, 3])
def test_what_is_ours_is_replaced(tmp_path, out, samples):
    assert not earlier_of(item(tmp_path / out), samples).record
    made = wrote(tmp_path / out, spread=True)
    earlier = earlier_of(made, samples)
    assert earlier.wrote(made.out) and earlier.wrote(made.spread)


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_file_that_only_has_the_name_of_a_deviation_is_not_ours(tmp_path, out, samples, recorded):
    made = wrote(tmp_path / out) if recorded else item(tmp_path / out)
    made.spread.write_bytes(MINE)
    with pytest.raises(UserError, match=r"t1_std\.nii\.gz: is there already, and no result of this command"):
        earlier_of(made, samples)


@pytest.mark.parametrize("out", OUTS)
def test_nor_is_what_was_changed_since(tmp_path, out):
    made = wrote(tmp_path / out, spread=True)
    made.spread.write_bytes(MINE)
    with pytest.raises(UserError, match=r"t1_std\.nii\.gz: was changed since this command wrote it"):
        earlier_of(made, 1)
    made.spread.unlink()
    (made.out / "0001.dcm" if made.dicom else made.out).write_bytes(MINE)
    with pytest.raises(UserError, match=r"changed since|is there already"):
        earlier_of(made, 1)


@pytest.mark.parametrize("out", OUTS)
def test_a_scan_without_a_record_is_not_replaced(tmp_path, out):
    """Such as the patient's own CT, ``ct.nii.gz``, beside the MR."""
    made = wrote(tmp_path / out)
    made.record.unlink()
    with pytest.raises(UserError, match="is there already, and no result of this command"):
        earlier_of(made, 1)


@pytest.mark.parametrize("first", OUTS)
@pytest.mark.parametrize("second", OUTS)
def test_a_record_that_two_would_share_stays_the_first_s(tmp_path, first, second):
    made = wrote(tmp_path / first, spread=True)
    if first == second:
        return
    with pytest.raises(UserError, match=rf"t1\.record\.json: says how {first} came about, and would be replaced"):
        earlier_of(item(tmp_path / second), 1)
    shutil.rmtree(made.out) if made.dicom else made.out.unlink()
    earlier_of(item(tmp_path / second), 1)  # it speaks of nothing any more


@pytest.mark.parametrize("name", ["t1.record.json", "t1.failure.json"])
@pytest.mark.parametrize("text", ["{}", "[]", '{"verb": "train"}', "notes"])
def test_a_record_of_anything_else_is_not_replaced(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name}: is there already, and no record of this command"):
        earlier_of(item(tmp_path / "t1.nii.gz"), 1)


@pytest.mark.parametrize("out", OUTS)
def test_what_a_killed_call_was_writing_is_ours(tmp_path, out):
    made = wrote(tmp_path / out, spread=True)
    made.record.unlink()
    write_json(made.failure, {"verb": "apply", "status": "failed", "writing": [made.out.name, made.spread.name]})
    earlier = earlier_of(made, 1)
    assert earlier.wrote(made.out) and earlier.wrote(made.spread)
    if made.dicom:  # but no folder of anything else
        (made.out / "notes.txt").touch()
        with pytest.raises(UserError, match="is there already"):
            earlier_of(made, 1)


def test_another_volume_s_result_is_not_taken_for_a_deviation(tmp_path):
    """Of a folder with ``a`` and ``a_std``, one image of each: both can be done again."""
    for name in ("a", "a_std"):
        wrote(tmp_path / f"{name}.nii.gz")
    earlier = earlier_of(item(tmp_path / "a.nii.gz"), 1)
    assert not earlier.wrote(tmp_path / "a_std.nii.gz")
    with pytest.raises(UserError, match=r"a_std\.nii\.gz: is there already"):
        earlier_of(item(tmp_path / "a.nii.gz"), 2)


@pytest.mark.parametrize("samples", [1, 2])
def test_names_are_compared_before_anything_is_written(tmp_path, samples):
    outs = [tmp_path / f"{name}.nii.gz" for name in ("a", "a_std", "b")]
    several = [item(out, tmp_path / "scans" / out.name) for out in outs]
    if samples == 1:
        check_apart(several, samples)
    else:
        both = r"a_std\.nii\.gz: would be both the standard deviation of a\.nii\.gz and the result"
        with pytest.raises(UserError, match=both):
            check_apart(several, samples)
    for out, given, what in (
        ("T1.nii.gz", "T1_std.nii.gz", "the standard deviation of T1.nii.gz"),
        ("T1.nii", "T1_std.nii.gz", "the standard deviation of T1.nii"),
        ("T1", "T1_std.nii.gz", "the standard deviation of T1"),
        ("T1.nii.gz", "T1.nii.gz", "is the volume itself"),
    ):
        with pytest.raises(UserError, match=what):
            check_apart([item(tmp_path / out, tmp_path / given)], samples)
    # also by another way to it
    (tmp_path / "T1_std.nii.gz").write_bytes(MINE)
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "T1_std.nii.gz")
    with pytest.raises(UserError, match="is given, and is the name of the standard deviation"):
        check_apart([item(tmp_path / "T1.nii.gz", tmp_path / "link.nii.gz")], samples)


def test_a_volume_named_as_a_deviation_survives(tmp_path, trained):
    given = write(tmp_path / "T1_std.nii.gz", head("mr", grid(), seed=9))
    before = given.read_bytes()
    for samples in (1, 2):
        with pytest.raises(UserError, match="give the result another name"):
            run(trained, tmp_path, given, "T1.nii.gz", samples=samples)
    assert given.read_bytes() == before and not (tmp_path / "T1.failure.json").exists()
    other = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    with pytest.raises(UserError, match="T1_std.nii.gz: is there already"):
        run(trained, tmp_path, other, "T1.nii.gz")
    assert given.read_bytes() == before and not (tmp_path / "T1.nii.gz").exists()


def test_the_record_says_what_the_deviation_is_and_a_single_sample_removes_it(tmp_path, trained):
    given = series(tmp_path / "scan")
    run(trained, tmp_path, given, "made", samples=2)
    record, made = read_json(tmp_path / "made.record.json"), item(tmp_path / "made")
    assert record["spread"] == {"file": "made_std.nii.gz", "sha256": output_sha256(made.spread), "greatest": 0}
    assert record["output_sha256"] == output_sha256(made.out) and not made.failure.exists()
    run(trained, tmp_path, given, "made")
    assert not made.spread.exists() and "spread" not in read_json(made.record)


def test_a_call_that_is_killed_while_it_writes_can_be_made_again(tmp_path, trained, monkeypatch):
    import xmodbench.stages.apply as stage

    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    whole = stage.write_nifti

    def killed(path, *words):
        whole(path, *words)
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "write_nifti", killed)
    with pytest.raises(KeyboardInterrupt):
        run(trained, tmp_path, given, "out.nii.gz")
    assert read_json(tmp_path / "out.failure.json")["error"] == "stopped while its result was written"
    monkeypatch.undo()
    # a call that fails before it writes takes nothing of that away
    with pytest.raises(UserError, match="ZeroDivisionError"):
        run(trained, tmp_path, given, "out.nii.gz", body=BROKEN)
    assert read_json(tmp_path / "out.failure.json")["writing"] == ["out.nii.gz"]
    run(trained, tmp_path, given, "out.nii.gz")
    assert not (tmp_path / "out.failure.json").exists() and "writing" not in read_json(tmp_path / "out.record.json")

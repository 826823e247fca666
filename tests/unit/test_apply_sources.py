"""Volumes of several modalities in, one out: where the reference lies, whatever grids the others come on."""

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from tests.phantoms import COPIER, LANDMARKS, OBLIQUE, darker, grid, head, landmarks_of, two_copier, write
from tests.plugins import job_of
from tests.unit.test_apply_dicom import series
from xmodbench.data.simulate.dicom import SeriesHeader, write_series
from xmodbench.data.volumes.alone import prepare_alone, reference_of
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.stages.apply import apply
from xmodbench.stages.apply_items import named
from xmodbench.stages.apply_model import Wish, read_model
from xmodbench.stages.apply_volume import slices_apart

CENTRE = np.array(OBLIQUE["centre"])
SECOND = "1 - source[:, 1:2]"
"""Bright where the T2's landmarks are dark."""
OTHER = {"size": (75, 70, 50), "spacing": (2.6, 2.9, 3.6), "angles": (-4.0, 3.0, 2.0), "centre": tuple(CENTRE + 3)}
"""Another grid of the same head."""


@pytest.fixture
def applied(trained_of_two, tmp_path):
    """Apply the model of `trained_of_two`, or another one, to files by modality."""

    def do(out: str = "out.nii.gz", answer: str = "source[:, :1]", model=trained_of_two / "model", wish=None, **given):
        job = job_of(tmp_path / "plugins", "two", two_copier(answer))
        return apply(job, read_model(model), given, tmp_path / out, wish or Wish())

    do.model = trained_of_two / "model"
    return do


def mr(path: Path, on: sitk.Image | None = None) -> Path:
    return write(path, head("mr", on or grid("PSR", **OBLIQUE), CENTRE, seed=9))


def t2(path: Path, on: sitk.Image | None = None) -> Path:
    return write(path, darker(head("mr", on or grid("LAI", **OTHER), CENTRE, seed=8)))


def moved(path: Path, by: tuple[float, float, float]) -> Path:
    """A T2 whose header puts it so many mm away."""
    image = sitk.ReadImage(str(t2(path)))
    image.SetOrigin(np.add(image.GetOrigin(), by).tolist())
    return write(path, image)


def off(path: Path) -> float:
    """Largest distance of a landmark from its place, in voxels."""
    image = nibabel.load(path)
    apart = landmarks_of(image.get_fdata(), image.affine, CENTRE) - LANDMARKS - CENTRE
    return float(np.abs(apart).max() / min(image.header.get_zooms()))


@pytest.mark.parametrize("answer", ["source[:, :1]", SECOND])
def test_landmarks_of_either_source_lie_on_the_reference(tmp_path, applied, answer):
    given = {"t2": t2(tmp_path / "b.nrrd"), "mr": mr(tmp_path / "a.nii.gz")}
    assert applied(answer=answer, wish=Wish(samples=2), **given) == []
    assert off(tmp_path / "out.nii.gz") < 0.1
    there, result = (nibabel.load(tmp_path / name) for name in ("a.nii.gz", "out.nii.gz"))
    assert result.shape == there.shape
    np.testing.assert_array_equal(there.affine, result.affine)
    assert not nibabel.load(tmp_path / "out_std.nii.gz").get_fdata().any()
    record = read_json(tmp_path / "out.record.json")
    assert (record["source"], record["reference"], record["samples"]) == ("mr+t2", "mr", 2)
    assert {name: item["file"] for name, item in record["input"].items()} == {"mr": "a.nii.gz", "t2": "b.nrrd"}
    assert record["input_path"] == {name: str(given[name]) for name in given}
    assert record["values"] == {"0": -1000, "1": 1000, "outside the field of view": -1000}
    assert len({item[key] for item in record["input"].values() for key in ("sha256", "voxels_sha256")}) == 4


def test_what_training_registered_is_registered(tmp_path, applied):
    """Headers that are 9 mm off."""
    model = changed(applied.model, tmp_path / "model", {"registration": "rigid"})
    given = {"mr": mr(tmp_path / "a.nii.gz"), "t2": moved(tmp_path / "b.nii.gz", (6, -6, 3))}
    applied(answer=SECOND, model=model, **given)
    assert off(tmp_path / "out.nii.gz") < 0.25
    record = read_json(tmp_path / "out.record.json")
    assert record["prepared"]["registration"]["t2"]["accepted"]
    applied("unregistered.nii.gz", SECOND, **given)
    assert off(tmp_path / "unregistered.nii.gz") > 1
    # further than a registration may go
    model = changed(applied.model, tmp_path / "near", {"registration": "rigid", "registration_limit_mm": 2})
    with pytest.raises(UserError, match=r"b\.nii\.gz: registration to mr rejected: moved by .*--force takes them as"):
        applied(model=model, **given)
    applied(model=model, wish=Wish(force=True), **given)
    assert "registration of t2 to mr rejected" in read_json(tmp_path / "out.record.json")["forced"]


def test_the_reference_is_that_of_training(tmp_path, applied):
    """And the first of the sources where that is none of them, as where the target was."""
    known = read_json(applied.model / "preparation.json")
    assert known["reference"] == "mr" and reference_of(known, ("t2", "mr")) == "mr"
    assert reference_of(known | {"reference": "ct"}, ("t2", "mr")) == "t2"
    model = changed(applied.model, tmp_path / "model", {}, reference="t2")
    given = {"mr": mr(tmp_path / "a.nii.gz"), "t2": t2(tmp_path / "b.nii.gz")}
    applied(model=model, **given)
    assert off(tmp_path / "out.nii.gz") < 0.1
    assert nibabel.load(tmp_path / "out.nii.gz").shape == nibabel.load(given["t2"]).shape


def changed(model: Path, copy: Path, settings: dict, **known) -> Path:
    """The model, had it been trained on volumes that were prepared otherwise."""
    shutil.copytree(model, copy)
    kept = read_json(copy / "preparation.json")
    write_json(copy / "preparation.json", kept | {"settings": kept["settings"] | settings} | known)
    record = read_json(copy / "record.json")
    del record["preparation_file_sha256"]
    write_json(copy / "record.json", record)
    return copy


def lower_half(path: Path) -> Path:
    image = sitk.ReadImage(str(t2(path, grid(**OTHER))))
    return write(path, image[:, :, :25])


APART = {
    "elsewhere": (lambda path: moved(path, (0, 0, 400)), "overlaps that of mr by 0% only; check that the pair"),
    "half of it": (lower_half, r"t2 covers \d+% of the head or body in mr \(least 95%\).*--force goes on"),
    "another modality": (lambda path: write(path, head("ct", grid(**OBLIQUE), CENTRE)), "t2: values go down to -1"),
    "the reference once more": (lambda path: mr(path.with_suffix(".mha")), "the same volume is given as mr and as t2"),
}


@pytest.mark.parametrize("case", APART)
def test_volumes_that_do_not_belong_together_are_refused_in_a_line(tmp_path, applied, case):
    made, expected = APART[case]
    with pytest.raises(UserError, match=expected) as caught:
        applied(mr=mr(tmp_path / "a.nii.gz"), t2=made(tmp_path / "b.nii.gz"))
    assert "\n" not in str(caught.value) and not (tmp_path / "out.nii.gz").exists()


def test_sources_in_the_wrong_order_are_noticed(tmp_path, applied):
    with pytest.raises(UserError, match="its grey levels are those of"):
        applied(mr=t2(tmp_path / "b.nii.gz"), t2=mr(tmp_path / "a.nii.gz"))


def test_one_is_missing_or_of_another_name(tmp_path, applied):
    there = mr(tmp_path / "a.nii.gz")
    expected = "translates from mr and t2 at once; give a volume of each: mr=FILE t2=FILE"
    for given in ({"": there}, {"mr": there}, {"mr": there, "pd": there}):
        with pytest.raises(UserError, match=expected):
            applied(**given)
    model = read_model(applied.model)
    free = replace(model, record={**model.record, "source": None})  # trained for every source, of which it needs two
    with pytest.raises(UserError, match="from 2 modalities at once; give a volume of each: mr=FILE t2=FILE"):
        free.sources((), False)
    assert free.sources(["t2", "mr"], False) == ("t2", "mr") and model.sources(["t2", "mr"], False) == ("mr", "t2")


def test_a_model_of_one_source_takes_one(tmp_path, trained):
    given = {"mr": mr(tmp_path / "a.nii.gz"), "t2": t2(tmp_path / "b.nii.gz")}
    job = job_of(tmp_path / "plugins", "copier", COPIER)
    with pytest.raises(UserError, match="takes one source modality, and 'mr.t2' is 2"):
        apply(job, read_model(trained / "model"), given, tmp_path / "out.nii.gz", Wish(force=True))


def test_words_name_modalities(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t1=odd.nii").write_text("a file of that name")
    assert named(["t1=a.nii", "t2=b=c.nii"]) == {"t1": "a.nii", "t2": "b=c.nii"}
    assert named(["./x=a.nii"]) == {"": "./x=a.nii"} and named(["t1=odd.nii"]) == {"": "t1=odd.nii"}
    for words in (["a.nii", "b.nii"], ["t1=a.nii", "b.nii"], ["b.nii", "t1=a.nii"]):
        with pytest.raises(UserError, match=r"of which modality is '.*'\?; write the modality before each: t1=... t2="):
            named(words)
    with pytest.raises(UserError, match="two words for 't1'"):
        named(["t1=a.nii", "t1=b.nii"])


def test_folders_are_gone_through_together(tmp_path, applied):
    for name in ("p1.nii.gz", "deep/p2.mha"):
        mr(tmp_path / "one" / name)
    t2(tmp_path / "two" / "p1.nrrd")
    t2(tmp_path / "two" / "p3.nrrd")
    failed = applied("out", mr=tmp_path / "one", t2=tmp_path / "two")
    assert [path.name for path, _ in failed] == ["p2.mha", "p3.nrrd"]
    assert all("has no volume of the name of" in problem for _, problem in failed)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p1.nii.gz", "p1.record.json"]
    with pytest.raises(UserError, match=r"p1\.nrrd: is one volume, and .*one a folder of several"):
        applied("more", mr=tmp_path / "one", t2=tmp_path / "two" / "p1.nrrd")


def test_series_of_one_patient_s_folder(tmp_path, applied):
    """T1 and T2 lie in it side by side; the result is a series on the first."""
    folder = series(tmp_path / "scan", "PSR")
    other = darker(head("mr", grid(**OTHER), CENTRE, seed=8))
    header = SeriesHeader("anon", "MR", "T2 cor", 5, "here")
    write_series(folder, sitk.Cast(other, sitk.sitkInt16), header, list(range(other.GetSize()[2])))
    wish = Wish(series={"mr": "T1", "t2": "T2"})
    applied(wish=wish, mr=folder, t2=folder)
    assert off(tmp_path / "out.nii.gz") < 0.1
    found = read_json(tmp_path / "out.record.json")
    assert {name: item["description"] for name, item in found["series"].items()} == {"mr": "T1 tra", "t2": "T2 cor"}
    applied("made", wish=wish, mr=folder, t2=folder)
    assert len(list((tmp_path / "made").iterdir())) == found["series"]["mr"]["slices"]


@pytest.mark.parametrize("declares", ["neighbours = 1", "volumes = True"])
def test_neighbours_are_as_far_apart_as_in_training(tmp_path, trained, declares):
    """A training set of every third slice, a volume of all: what was next to a slice there is the third from it here."""
    known = read_json(trained / "model" / "preparation.json")
    assert known["step_mm"] == pytest.approx(3.9)
    model = changed(trained / "model", tmp_path / "sparse", {}, step_mm=3 * 3.9)
    given = {"": write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))}
    above = "source[:, 2:3]" if "neighbours" in declares else "np.concatenate([source[:, :, 1:], source[:, :, -1:]], 2)"
    body = COPIER.replace("return source", f"return {above}").replace("ZERO_SHOT\n", f"ZERO_SHOT\n    {declares}\n")
    jobs = {"plain": job_of(tmp_path / "one", "copier", COPIER), "above": job_of(tmp_path / "two", "copier", body)}
    for name, job in jobs.items():
        apply(job, read_model(model), given, tmp_path / f"{name}.nii.gz", Wish())
    plain, found = (nibabel.load(tmp_path / f"{name}.nii.gz").get_fdata() for name in jobs)
    np.testing.assert_array_equal(found[:, :, 10:25], plain[:, :, 13:28])
    assert read_json(tmp_path / "above.record.json")["neighbours_apart"] == 3


def test_how_many_slices_are_apart(trained):
    known = read_json(trained / "model" / "preparation.json")
    place = prepare_alone({"mr": trained / "raw" / "s0-mr.nii.gz"}, known).place
    for step, expected in ((None, 1), (1.0, 1), (3.9, 1), (7.0, 2), (12.0, 3)):
        assert slices_apart({"step_mm": step}, place) == expected
    assert slices_apart({}, place) == 1  # of a model trained before that was kept

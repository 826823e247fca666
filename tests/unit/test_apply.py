"""A volume in, a volume out: on the same voxels, at the same place, in the target's unit, or a line that says why not."""

import gzip
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from tests.phantoms import COPIER, LANDMARKS, OBLIQUE, grid, head, landmarks_of, write
from tests.plugins import job_of
from xmodbench.data.volumes.alone import prepare_alone
from xmodbench.data.volumes.putting_back import put_back
from xmodbench.data.volumes.resample import affine_ras, same_grid
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.progress import Progress
from xmodbench.seeding import derive_seed
from xmodbench.stages import apply as stage
from xmodbench.stages.apply import apply
from xmodbench.stages.apply_model import Wish, read_model
from xmodbench.stages.apply_samples import mean_and_spread, seeds_of
from xmodbench.stages.given import model_sha256
from xmodbench.stages.train import train

NOISY = COPIER.replace(
    "return source",
    """
        noise = np.stack([item.numpy.standard_normal(source.shape[1:], "f") for item in generators])
        return np.clip(source + 0.1 * noise, 0, 1)""",
)
CENTRE = np.array(OBLIQUE["centre"])


@pytest.fixture
def applied(trained, tmp_path):
    """Apply the model of `trained`, or another one, to a file."""

    def do(
        given: Path | dict[str, Path],
        out: str = "out.nii.gz",
        body: str = COPIER,
        model: Path = trained / "model",
        seed=5,
        **wish,
    ):
        job = job_of(tmp_path / "plugins", "copier", body, seed)
        volumes = given if isinstance(given, dict) else {"": given}
        return apply(job, read_model(model), volumes, tmp_path / out, Wish(**wish))

    do.model = trained / "model"
    return do


def there(path: Path) -> np.ndarray:
    """Landmarks of a NIfTI file as nibabel reads it."""
    image = nibabel.load(path)
    return landmarks_of(image.get_fdata(), image.affine, CENTRE)


@pytest.mark.parametrize(("name", "code"), [("in.nii.gz", "PSR"), ("in.nrrd", "RIA"), ("in.hdr", "LAS")])
def test_landmarks_of_an_oblique_volume_stay_where_they_are(tmp_path, applied, name, code):
    on = grid(code, **OBLIQUE)
    given = write(tmp_path / name, head("mr", on, CENTRE, seed=9))
    assert applied(given) == []
    off = there(tmp_path / "out.nii.gz") - LANDMARKS - CENTRE
    assert np.abs(off).max() < 0.1 * min(on.GetSpacing())
    result = nibabel.load(tmp_path / "out.nii.gz")
    assert result.shape == on.GetSize()
    assert (result.get_sform(coded=True)[1] > 0, result.header.get_xyzt_units()[0]) == (True, "mm")


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("changed", [{}, {"axis": "stored", "spacing_mm": [3.9, 3.1, 2.8]}, {"spacing_mm": 2.5}])
def test_slices_of_every_plane_lead_back(tmp_path, trained, plane, changed):
    """Without a process: what is prepared is put back at once."""
    known = read_json(trained / "model" / "preparation.json")
    known |= {"plane": plane, "settings": known["settings"] | changed}
    on = grid("PIL", **OBLIQUE)
    alone = prepare_alone({"mr": write(tmp_path / "in.mha", head("mr", on, CENTRE, seed=9))}, known)
    assert {row["axis"] for row in alone.rows} == {plane}
    found = put_back(
        alone.images["mr"], [row["index"] for row in alone.rows], [(0, 1)] * len(alone.rows), alone.place, "mr"
    )
    off = (
        landmarks_of(sitk.GetArrayFromImage(found.image).transpose(2, 1, 0), affine_ras(on), CENTRE)
        - LANDMARKS
        - CENTRE
    )
    assert np.abs(off).max() < 0.1 * min(on.GetSpacing())
    assert same_grid(found.image, on)
    # what a file's axes are called is not what another's are: voxels are those of training, along the patient
    wanted = {"stored": known["grid_mm"]}.get(changed.get("axis"), [2.5] * 3 if changed else None)
    assert wanted is None or np.allclose(alone.place.grid.spacing, wanted)


def test_hu_come_back_and_the_record_says_how(tmp_path, trained, applied):
    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    applied(given)
    values = nibabel.load(tmp_path / "out.nii.gz").get_fdata()
    record, known = read_json(tmp_path / "out.record.json"), read_json(trained / "model" / "preparation.json")
    # what is copied is the MR between two of its percentiles, as from -1000 to 1000
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(given))).transpose(2, 1, 0)
    low, high = np.percentile(voxels[voxels > 60], [0.5, 99.5])
    expected = -1000 + 2000 * np.clip((voxels - low) / (high - low), 0, 1)
    inner = (slice(12, -12), slice(12, -12), slice(12, -12))
    assert np.abs(values - expected)[inner].mean() < 40 and values.min() == -1000 and values.max() <= 1000
    assert record["values"] == {"0": -1000, "1": 1000, "outside the field of view": -1000}
    assert record["unit"].startswith("HU") and record["status"] == "complete" and record["forced"] == []
    assert record["model_sha256"] == read_json(trained / "model" / "record.json")["outputs_sha256"]
    assert (record["seed"], record["samples"], record["source"], record["target"]) == (5, 1, "mr", "ct")
    assert record["input"]["file"] == "in.nii.gz" and len(record["input"]["sha256"]) == 64
    assert known["modalities"]["ct"]["unit"] == "HU" and known["plane"] == "axial"


def test_the_other_way_the_unit_is_what_is_typical_of_the_target(tmp_path, trained, applied):
    given = write(tmp_path / "in.nii.gz", head("ct", grid(), seed=9))
    applied(given, model=trained / "model-mr")
    record, known = read_json(tmp_path / "out.record.json"), read_json(trained / "model-mr" / "preparation.json")
    ends = known["modalities"]["mr"]
    assert (known["source"], known["target"]) == (None, "mr")
    assert record["values"]["1"] == ends["high"] > 600 and "typical of the mr scans" in record["unit"]
    assert nibabel.load(tmp_path / "out.nii.gz").get_fdata().max() == pytest.approx(ends["high"], rel=0.3)


def test_the_header_of_the_input_is_kept(tmp_path, applied):
    """Both positions with their codes, units, and an axis of length 1; none of its grey values' scaling."""
    image = head("mr", grid("PSR", **OBLIQUE), CENTRE, seed=9)
    write(tmp_path / "plain.nii", image)
    source = nibabel.load(tmp_path / "plain.nii")
    header = source.header.copy()
    header.set_data_shape((*source.shape, 1))
    header.set_sform(source.affine, 2)
    header.set_qform(source.affine, 4)
    header.set_xyzt_units("mm", "sec")
    header["cal_max"], header["pixdim"][4], header["descrip"] = 900, 2.5, b"an MR"
    data = np.round(source.get_fdata()).astype(np.int16)[..., None]
    header.extensions.append(nibabel.nifti1.Nifti1Extension("afni", b"<AFNI_attributes/>"))
    made = nibabel.Nifti1Image(data, None, header)
    made.set_data_dtype(np.int16)
    nibabel.save(made, tmp_path / "in.nii.gz")
    applied(tmp_path / "in.nii.gz")
    before, after = (nibabel.load(tmp_path / name).header for name in ("in.nii.gz", "out.nii.gz"))
    for field in ("dim", "pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "xyzt_units", "qoffset_x",
                  "quatern_b", "quatern_c", "quatern_d", "qoffset_y", "qoffset_z"):  # fmt: skip
        np.testing.assert_array_equal(before[field], after[field], err_msg=field)
    assert len(before.extensions) == 1 and not after.extensions  # they speak of the input's values
    assert (after["cal_max"], after["descrip"].item()) == (0, b"synthetic ct by copier (xmodbench)")


def test_a_name_and_a_batch_change_nothing(tmp_path, applied):
    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    other = shutil.copy(given, tmp_path / "other name.nii.gz")
    applied(given, "one.nii", body=NOISY)
    applied(Path(other), "two.nii", body=NOISY, batch_size=5)
    assert (tmp_path / "one.nii").read_bytes() == (tmp_path / "two.nii").read_bytes()


def test_each_sample_of_each_slice_has_a_seed_of_its_own():
    seeds = seeds_of(5, ["a", "b"], 3)
    assert seeds[:2] == [derive_seed(5, "image", "a"), derive_seed(5, "image", "b")] == seeds_of(5, ["a", "b"], 1)
    assert len({*seeds, *seeds_of(6, ["a", "b"], 3)}) == 12


def test_mean_and_standard_deviation_of_samples():
    images = np.random.default_rng(1).random((5 * 3, 4, 4), dtype=np.float32)
    mean, spread = mean_and_spread([images[:4], images[4:13], images[13:]], 3, 5, (4, 4))
    samples = images.reshape(5, 3, 4, 4).astype(float)
    np.testing.assert_allclose(mean, samples.mean(0), rtol=1e-6)
    np.testing.assert_allclose(spread, samples.std(0, ddof=1), rtol=1e-5)
    alone, none = mean_and_spread([images[:3]], 3, 1, (4, 4))
    assert none is None and (alone == images[:3]).all()


def test_several_samples_give_their_mean_and_standard_deviation(tmp_path, applied, monkeypatch):
    said = []
    monkeypatch.setattr(Progress, "say", lambda self, text: said.append(text))
    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    applied(given, samples=3)
    copied, spread = (tmp_path / "out.nii.gz").read_bytes(), nibabel.load(tmp_path / "out_std.nii.gz")
    assert not spread.get_fdata().any() and spread.header["descrip"].item().startswith(b"standard deviation of")
    assert read_json(tmp_path / "out.record.json")["spread"]["greatest"] == 0
    assert [text for text in said if "0 everywhere, for its samples are all the same" in text] == [said.pop()]
    applied(given, body=NOISY, samples=3)
    values = nibabel.load(tmp_path / "out_std.nii.gz").get_fdata()
    # noise of a tenth of 2000 HU, smoothed where pixels are made smaller or larger
    assert 60 < np.median(values[20:40, 20:40, 15:30]) < 220 and values[0, 0, 0] == 0
    greatest = read_json(tmp_path / "out.record.json")["spread"]["greatest"]
    assert greatest == pytest.approx(values.max()) and not any("0 everywhere" in text for text in said)
    applied(given)
    assert (tmp_path / "out.nii.gz").read_bytes() == copied
    assert not (tmp_path / "out_std.nii.gz").exists(), "of an earlier result"


def grown(image: sitk.Image, by: float) -> sitk.Image:
    """The head so many times as large, in the plane."""
    scale = sitk.ScaleTransform(3, (1 / by, 1 / by, 1.0))
    return sitk.Resample(image, image, scale)


DOUBTS = {
    "CT given as MR": (lambda: head("ct", grid(), seed=9), "values go down to -1"),
    "thick slices": (
        lambda: head("mr", grid(size=(60, 66, 20), spacing=(2.8, 3.1, 9)), seed=9),
        "slices are 9 mm apart",
    ),
    "thin slices": (lambda: head("mr", grid(size=(60, 66, 90), spacing=(2.8, 3.1, 1.8)), seed=9), "1.8 mm apart"),
    "coarse pixels": (
        lambda: head("mr", grid(size=(36, 36, 44), spacing=(5.1, 5.2, 3.9)), seed=9),
        "voxels are 5.2 mm",
    ),
    "tilted": (lambda: head("mr", grid(angles=(24, 0, 0)), seed=9), "its axes lie 24 degrees beside the patient's"),
    "part of the field": (lambda: head("mr", grid(size=(28, 66, 44)), seed=9), "of the field of view was scanned"),
    "larger than a head": (
        lambda: grown(head("mr", grid(size=(90, 96, 44)), seed=9), 1.6),
        "of the head or body lies outside the field of view",
    ),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_what_a_model_does_not_know_is_refused_in_a_line(tmp_path, applied, case):
    made, expected = DOUBTS[case]
    given = write(tmp_path / "in.nii.gz", made())
    with pytest.raises(UserError, match=expected) as caught:
        applied(given)
    assert "--force goes on" in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in.nii.gz", "out.failure.json"]


def test_forced_it_goes_on_and_the_record_says_so(tmp_path, applied):
    given = write(tmp_path / "in.nii.gz", DOUBTS["thick slices"][0]())
    applied(given, force=True)
    assert "slices are 9 mm apart" in read_json(tmp_path / "out.record.json")["forced"][0]


def test_the_modality_is_told_by_its_grey_levels(tmp_path, trained, applied):
    """Neither is a CT: what tells them apart is the histogram."""
    model = tmp_path / "model"
    shutil.copytree(trained / "model", model)
    known = read_json(model / "preparation.json")
    for name in ("low", "high", "unit", "lowest"):
        known["modalities"]["ct"][name] = known["modalities"]["mr"][name]
    known["modalities"]["ct"]["levels"], known["modalities"]["mr"]["levels"] = (
        known["modalities"][name]["levels"] for name in ("mr", "ct")
    )
    write_json(model / "preparation.json", known)
    record = read_json(model / "record.json")
    del record["preparation_file_sha256"]
    write_json(model / "record.json", record)
    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    with pytest.raises(UserError, match="its grey levels are those of ct rather than of mr"):
        applied(given, model=model)


def test_an_unknown_orientation_is_refused_or_given(tmp_path, applied):
    image = nibabel.load(write(tmp_path / "x.nii", head("mr", grid("LPS"), seed=9)))
    image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), None, image.header), tmp_path / "in.nii.gz")
    with pytest.raises(UserError, match="its orientation is not known .* give `--orientation` if you know"):
        applied(tmp_path / "in.nii.gz")
    with pytest.raises(UserError, match="--orientation: 'LPX' is no orientation"):
        applied(tmp_path / "in.nii.gz", orientation="LPX")
    applied(tmp_path / "in.nii.gz", orientation="LPS")
    assert "taken to run to LPS" in read_json(tmp_path / "out.record.json")["assumed"][0]
    assert nibabel.load(tmp_path / "out.nii.gz").header["sform_code"] == 0


def test_models_that_cannot_be_applied_are_told_in_a_line(tmp_path, trained):
    model = tmp_path / "model"
    shutil.copytree(trained / "model", model)
    read_model(model)
    kept = (model / "preparation.json").read_text()
    (model / "preparation.json").write_text(kept.replace("axial", "coronal"))
    with pytest.raises(UserError, match="not the one that its training wrote"):
        read_model(model)
    (model / "preparation.json").unlink()
    with pytest.raises(UserError, match="does not say how its volumes were prepared .* train the model again"):
        read_model(model)
    record = read_json(model / "record.json")
    write_json(model / "record.json", {**record, "supervision": "control", "name": "mean_image"})
    with pytest.raises(UserError, match="'mean_image' is a control"):
        read_model(model)
    with pytest.raises(UserError, match=r"record\.json: no such file"):
        read_model(tmp_path)
    for name, expected in (
        ("t1.ZIP", "`.*xmodbench import .*t1.ZIP` first"),
        ("t1.pt", "give a folder that a training"),
    ):
        (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(UserError, match=f"{name}: is a file, not the folder of a model; {expected}"):
            read_model(tmp_path / name)


def test_the_source_is_named_or_plain(tmp_path, trained):
    model = read_model(trained / "model")
    assert model.sources((), False) == model.sources(["mr"], False) == ("mr",)
    with pytest.raises(UserError, match="is what the model translates to"):
        model.sources(["ct"], False)
    with pytest.raises(UserError, match="the training data have no 'flair'"):
        model.sources(["flair"], False)
    assert model.sources(["flair"], True) == ("flair",)
    model.known["modalities"]["pd"] = {}
    with pytest.raises(UserError, match="of which modality are the volumes.*mr, pd"):
        model.sources((), False)


def test_a_folder_of_many_with_one_that_is_bad(tmp_path, applied):
    for name in ("a.nii.gz", "deep/b.nrrd"):
        write(tmp_path / "scans" / name, head("mr", grid(), seed=9))
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(gzip.compress(b"no volume"))
    failed = applied(tmp_path / "scans", "out")
    assert [(path.name, "bad.nii.gz" in problem) for path, problem in failed] == [("bad.nii.gz", True)]
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert made == ["a.nii.gz", "a.record.json", "bad.failure.json", "deep/b.nii.gz", "deep/b.record.json"]


def test_a_folder_goes_on_where_it_was_killed(tmp_path, applied, monkeypatch):
    """What is whole, and of the same volumes, model and options, is there already; all else is done (again)."""
    for name in ("a", "b"):
        write(tmp_path / "scans" / f"{name}.nii.gz", head("mr", grid(), seed=9))
    out, said = tmp_path / "out", []

    def done(*names, **wish):
        """Which volumes are translated, all but the first in place of the method's process; and how many failed."""
        tried = []

        def apply_to(job, model, inputs, wish):
            tried.append(inputs.given["mr"].name[0])
            if tried[-1] not in names:
                raise UserError("not this one")
            kept[:] = kept or [whole(job, model, inputs, wish)]
            return kept[0]

        with monkeypatch.context() as patch:
            patch.setattr(stage, "apply_to", apply_to)
            failed = applied(tmp_path / "scans", "out", **wish)
        return "".join(tried), len(failed)

    whole, kept = stage.apply_to, []
    monkeypatch.setattr(Progress, "say", lambda self, text: said.append(text))
    assert done("a", "b") == ("ab", 0)
    assert done() == ("", 0) and said[-2:] == ["a.nii.gz: already there", "b.nii.gz: already there"]
    before = (out / "a.record.json").read_bytes()
    # killed after the first; or changed since
    (out / "b.record.json").unlink()
    (out / "b.nii.gz").unlink()
    assert done("b") == ("b", 0) and (out / "a.record.json").read_bytes() == before
    (out / "b.nii.gz").unlink()
    assert done("b") == ("b", 0)
    write_json(out / "b.failure.json", {"verb": "apply", "writing": ["b.nii.gz"]})
    assert done("b") == ("b", 0) and not (out / "b.failure.json").exists()
    assert done(batch_size=3) == ("", 0)
    # of another volume, option, seed or method
    write(tmp_path / "scans" / "b.nii.gz", head("mr", grid(), seed=8))
    assert done("b") == ("b", 0)
    for other in ({"force": True}, {"seed": 6}, {"body": NOISY}, {"model": changed_copy(applied.model, tmp_path)}):
        assert done("a", "b", **other) == ("ab", 0), other
        assert done(**other) == ("", 0), other
    # one that is somebody's own by now is neither passed over nor replaced
    (out / "a.nii.gz").write_bytes(b"edited")
    assert done() == ("b", 2) and (out / "a.nii.gz").read_bytes() == b"edited"


def changed_copy(model: Path, folder: Path) -> Path:
    """The model, had it been trained otherwise."""
    copy = shutil.copytree(model, folder / "other")
    (copy / "weights").write_text("2")
    record = read_json(copy / "record.json")
    write_json(copy / "record.json", record | {"outputs_sha256": model_sha256(copy)})
    return copy


def test_what_cannot_be_done_is_said_beforehand(tmp_path, applied):
    (tmp_path / "none").mkdir()
    given = write(tmp_path / "scans" / "a.nii.gz", head("mr", grid(size=(8, 8, 8))))
    write(tmp_path / "scans" / "a.nrrd", head("mr", grid(size=(8, 8, 8))))
    for path, out, expected in (
        (given, "out.png", "not the name of a NIfTI file"),
        (given, "scans/a.nii.gz", "is the volume itself"),
        (tmp_path / "nowhere", "out.nii.gz", "no such file or folder"),
        (tmp_path / "none", "out", "nothing to translate here"),
        (tmp_path / "scans", "scans/out", "lies in the folder that is to be translated"),
        (tmp_path / "scans", "out", "would get the same name"),
    ):
        with pytest.raises(UserError, match=expected):
            applied(path, out)


@pytest.mark.parametrize("file", ["preparation.json", "record.json"])
def test_a_method_cannot_read_what_the_harness_keeps_beside_its_model(tmp_path, applied, file):
    """What the source's scans are like is nothing that a zero-shot method may know."""
    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    with pytest.raises(UserError, match=f"was refused '.*{file}'"):
        applied(given, body=COPIER.replace("self.found =", f"(directory / '{file}').read_text(); self.found ="))


def test_a_method_cannot_pass_its_own_off_as_the_harness_s(tmp_path, trained):
    body = COPIER.replace('(directory / "weights")', '(directory / "preparation.json")')
    with pytest.raises(UserError, match=r"model: preparation\.json: is the harness's own"):
        train(job_of(tmp_path, "liar", body), trained / "train", "ct", None, tmp_path / "model", tmp_path / "state")


def test_another_method_s_models_are_refused(tmp_path, applied):
    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    job = job_of(tmp_path / "plugins", "other", COPIER)
    model = read_model(applied.model)
    with pytest.raises(UserError, match="translates with models of its own, and .* is one of 'copier'"):
        apply(job, model, {"": given}, tmp_path / "out.nii.gz", Wish())
    assert model.method(None, {"a": 1}) == ("copier", "copier", {"a": 1})
    assert model.method("ilvr", {"a": 1}) == ("ilvr", "ilvr", {"a": 1})


def test_nothing_half_written_stays(tmp_path, applied, monkeypatch):
    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    applied(given)
    before = (tmp_path / "out.nii.gz").read_bytes()
    with pytest.raises(UserError, match="ZeroDivisionError"):
        applied(given, body=COPIER.replace("return source", "return source / 0 if len(source) == 1 else 1 / 0"))
    assert (tmp_path / "out.nii.gz").read_bytes() == before and (tmp_path / "out.record.json").is_file()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gzip, "compress", full)
    with pytest.raises(UserError, match="No space left"):
        applied(given)
    # the earlier result is whole, but nothing says that it is of this call
    assert (tmp_path / "out.nii.gz").read_bytes() == before and not (tmp_path / "out.record.json").exists()
    assert not [path for path in tmp_path.iterdir() if ".tmp-" in path.name]


@pytest.mark.parametrize("declares", ["neighbours = 1", "volumes = True"])
def test_models_that_see_more_than_a_slice_are_applied_alike(tmp_path, applied, declares):
    given = write(tmp_path / "in.nii.gz", head("mr", grid(), seed=9))
    applied(given, "plain.nii.gz", samples=2)
    copying = f"source[:, {'1:2' if 'neighbours' in declares else ':'}]"
    body = COPIER.replace("return source", f"return {copying}").replace("ZERO_SHOT\n", f"ZERO_SHOT\n    {declares}\n")
    applied(given, "shaped.nii.gz", body, samples=2)
    found = [nibabel.load(tmp_path / f"{name}.nii.gz").get_fdata() for name in ("plain", "shaped")]
    np.testing.assert_array_equal(*found)
    assert "handed" in read_json(tmp_path / "shaped.record.json")
    # not the slice itself but the one above it, which lies a slice lower then
    if "neighbours" in declares:
        applied(given, "above.nii.gz", body.replace("1:2", "2:3"))
        above = nibabel.load(tmp_path / "above.nii.gz").get_fdata()
        assert np.abs(above[:, :, 15:25] - found[0][:, :, 16:26]).max() < np.abs(above - found[0]).max() / 4

"""Slices given to others, and what comes back from them: matched, read, refused in a line, or written as a translation."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.plan.config import PredictionsEntry
from xmodbench.plugins import Supervision
from xmodbench.stages.predictions.giving import export_inputs
from xmodbench.stages.predictions.taking import import_predictions
from xmodbench.store import SliceStore, StoreWriter

SIZE, INDICES = 24, (3, 5, 9)  # slices of a subject in the scan's grid
WINDOW = (-1000.0, 1000.0)


def affine(subject: int, index: int) -> np.ndarray:
    """(column, row, 0) to RAS mm: 4 mm pixels, 3 mm slices, turned a little, at a place of its own for each subject."""
    turn = np.deg2rad(10 * subject)
    matrix = np.diag([-4.0, -4.0, 3.0, 1.0])
    rotation = np.eye(4)
    rotation[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix = rotation @ matrix
    matrix[:3, 3] = np.array([40.0, 30 + subject, -20]) + matrix[:3, 2] * index
    return matrix


def head(rng) -> np.ndarray:
    """A smooth blob with a bright core, and air around it."""
    y, x = np.mgrid[-1 : 1 : 1j * SIZE, -1 : 1 : 1j * SIZE]
    a, b = rng.uniform(0.6, 0.8, 2)
    inside = np.clip(1 - (x / a) ** 2 - (y / b) ** 2, 0, 1)
    return (0.7 * inside + 0.3 * np.exp(-20 * ((x - 0.2) ** 2 + y**2)) * (inside > 0)).astype(np.float32)


def write(folder: Path, names=("s0", "Ä b"), **settings) -> SliceStore:
    rng = np.random.default_rng(len(names))
    normalise = {"normalise": {"ct": {"method": "window", "low": WINDOW[0], "high": WINDOW[1]}}}
    facts = {"dataset": "toy", "settings": normalise | settings}
    with StoreWriter(folder, ("ct", "mr"), (SIZE, SIZE), facts) as writer:
        for number, name in enumerate(names):
            for index in INDICES:
                place = {"affine": json.dumps(affine(number, index).tolist()), "index": index}
                row = {"id": f"p{number}_z{index:+04d}.0", "subject": name, "site": "a", "position_mm": 3.0 * index}
                writer.add({"ct": head(rng), "mr": head(rng)}, **row, **place)
    return SliceStore(folder)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write(folder / "test"), write(folder / "train", names=("t0", "t1", "t2"))


@pytest.fixture
def take(stores, tmp_path, quiet):
    """Import the predictions of ``tmp_path/theirs``: `take(units=..., ...)` gives the store."""

    def taken(**options) -> SliceStore:
        entry = {"id": "x", "folder": str(tmp_path / "theirs"), "dataset": "toy", "direction": "mr->ct", **options}
        import_predictions(PredictionsEntry.model_validate(entry), stores[0].directory, tmp_path / "taken", quiet)
        return SliceStore(tmp_path / "taken")

    (tmp_path / "theirs").mkdir()
    return taken


def ct(stores, row=slice(None)) -> np.ndarray:
    return np.array(stores[0].array("ct")[row])


# -- what others are given -------------------------------------------------------------------------------------------------
def index(folder: Path) -> list[dict[str, str]]:
    with open(folder / "index.csv", newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize("kind", ["png", "npy", "nifti"])
def test_inputs_hold_the_source_and_no_target(stores, tmp_path, kind):
    test, _ = stores
    export_inputs(test.directory, "mr", "ct", tmp_path / "out", kind)
    rows = index(tmp_path / "out")
    assert [row["id"] for row in rows] == test.ids
    assert not any("ct" in path.as_posix() for path in (tmp_path / "out").rglob("*"))
    for number, row in enumerate(rows):
        path = tmp_path / "out" / row["file"]
        if kind == "npy":
            image = np.load(path)
        elif kind == "png":
            image = np.asarray(Image.open(path)) / 65535
        else:
            image = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[int(row["place"])]
        np.testing.assert_allclose(image, test.array("mr")[number], atol=1 / 65535)
    assert f"{SIZE} x {SIZE}" in (tmp_path / "out" / "README.txt").read_text()


def test_a_volumes_header_says_where_its_slices_lie(stores, tmp_path):
    test, _ = stores
    export_inputs(test.directory, "mr", "ct", tmp_path / "out", "nifti")
    for row, (number, place) in zip(index(tmp_path / "out"), [(n, i) for n in (0, 1) for i in INDICES], strict=True):
        image = sitk.ReadImage(str(tmp_path / "out" / row["file"]))
        for col, line in ((0, 0), (SIZE - 1, 2)):
            point = image.TransformIndexToPhysicalPoint([col, line, int(row["place"])])
            wanted = affine(number, place) @ [col, line, 0, 1]
            np.testing.assert_allclose(point, wanted[:3] * [-1, -1, 1], atol=1e-3)


@pytest.mark.parametrize(
    ("training", "arrays"),
    [("zero-shot", {"ct": 9}), ("few-shot", {"ct": 9, "mr": 2}), ("paired", {"ct": 9, "mr": 9})],
)
def test_training_slices_are_those_a_supervision_allows(stores, tmp_path, training, arrays):
    test, train = stores
    given = {"train_dir": train.directory, "training": Supervision(training), "source_slices": 2}
    export_inputs(test.directory, "mr", "ct", tmp_path / "out", "npy", **given)
    files = {folder.name: sorted(folder.iterdir()) for folder in (tmp_path / "out" / "training").iterdir()}
    assert {name: len(found) for name, found in files.items()} == arrays
    if training == "few-shot":
        assert not {path.stem for path in files["mr"]} & set(train.ids)  # their ids would pair them


def test_inputs_go_into_a_new_folder_only(stores, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty; give a new folder"):
        export_inputs(stores[0].directory, "mr", "ct", tmp_path, "png")
    assert (tmp_path / "mine.txt").exists()


def test_slices_without_a_place_make_no_volume(make_store, tmp_path):
    store = make_store(tmp_path / "test")
    with pytest.raises(UserError, match="does not say where slices lie"):
        export_inputs(store, "pd", "t1", tmp_path / "out", "nifti")
    assert not (tmp_path / "out").exists()


# -- what comes back -------------------------------------------------------------------------------------------------------
def save(path: Path, image: np.ndarray, bits: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, image)
    else:
        kind = np.uint16 if bits == 16 else np.uint8
        Image.fromarray(np.round(image * (2**bits - 1)).astype(kind)).save(path)


@pytest.mark.parametrize(
    ("form", "error"), [("{}.npy", 0), ("{}.png", 1e-5), ("sub/{}.PNG", 1e-5), ("{}_fake_B.png", 1e-5)]
)
def test_slices_are_matched_by_id_whatever_the_order(stores, take, tmp_path, form, error):
    for number in np.random.default_rng(0).permutation(6):
        save(tmp_path / "theirs" / form.format(stores[0].ids[number]), ct(stores, number))
    taken = take(files="{id}_fake_B.png" if "fake" in form else None)
    assert taken.ids == stores[0].ids
    np.testing.assert_allclose(taken.array("ct"), ct(stores), atol=error)
    record = read_json(tmp_path / "taken" / "record.json")
    assert (record["isolation"], record["supervision"], record["n_test"]) == ("none", "undeclared", 6)
    assert record["outputs_sha256"] == taken.manifest["arrays"]["ct"]["sha256"]


def volume(stores, number: int, *, hu: bool = False, finer: int = 1) -> sitk.Image:
    """A subject's targets in every third of its scan's slices, `finer` times as many voxels in the plane."""
    rows = slice(3 * number, 3 * number + 3)
    voxels = np.zeros((12, SIZE, SIZE), np.float32)
    voxels[list(INDICES)] = ct(stores, rows)
    if hu:
        voxels = WINDOW[0] + voxels * (WINDOW[1] - WINDOW[0])
    voxels = voxels.repeat(finer, 1).repeat(finer, 2)
    image, matrix = sitk.GetImageFromArray(voxels), np.diag([-1, -1, 1, 1]) @ affine(number, 0)
    matrix[:3, 3] += (matrix[:3, 0] + matrix[:3, 1]) * (1 / finer - 1) / 2
    matrix[:3, :2] /= finer
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    return image


NAMES = ("s0", "Ä b")


@pytest.mark.parametrize("name", ["{}.nii.gz", "{}/ct.nii.gz", "{}.mha"])
@pytest.mark.parametrize("hu", [False, True])
def test_volumes_are_cut_where_the_slices_lie(stores, take, tmp_path, name, hu):
    for number, subject in enumerate(NAMES):
        path = tmp_path / "theirs" / name.format(subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(volume(stores, number, hu=hu), str(path))
    taken = take(units="hu" if hu else "unit")
    np.testing.assert_allclose(taken.array("ct"), ct(stores), atol=1e-5)


def test_volumes_on_another_grid_are_resampled(stores, take, tmp_path):
    for number, subject in enumerate(NAMES):
        image = sitk.DICOMOrient(volume(stores, number, finer=3), "RAS")
        sitk.WriteImage(image, str(tmp_path / "theirs" / f"{subject}.nrrd"))
    np.testing.assert_allclose(take().array("ct"), ct(stores), atol=0.03)


def test_what_was_given_comes_back_as_it_was(stores, take, tmp_path):
    """The volumes of export-inputs themselves, whose empty slices between others are not taken for slices."""
    export_inputs(stores[0].directory, "mr", "ct", tmp_path / "in", "nifti")
    for path in (tmp_path / "in" / "test" / "mr").iterdir():
        (tmp_path / "theirs" / path.name).write_bytes(path.read_bytes())
    np.testing.assert_array_equal(take().array("ct"), stores[0].array("mr"))


def test_missing_slices_are_refused_or_marked(stores, take, tmp_path, quiet, monkeypatch):
    said = []
    monkeypatch.setattr(quiet, "say", said.append)
    for number in (0, 1, 4):
        save(tmp_path / "theirs" / f"{stores[0].ids[number]}.png", ct(stores, number))
    save(tmp_path / "theirs" / "other.png", ct(stores, 0))
    (tmp_path / "theirs" / "notes.txt").write_text("not a slice")
    with pytest.raises(
        UserError, match=r"3 of 6 test slices are missing: p0_z\+009.0, p1_z\+003.0, p1_z\+009.0; .*--partial"
    ):
        take()
    assert not (tmp_path / "taken" / "manifest.json").exists()
    taken = take(partial=True)
    assert taken.ids == [stores[0].ids[number] for number in (0, 1, 4)]
    record = read_json(tmp_path / "taken" / "record.json")
    assert (record["missing"], record["extra"]) == (3, 1)
    assert said == ["x: 1 file is of no test slice: other.png"] * 2 + [
        "x: 3 of 6 test slices are missing: p0_z+009.0, p1_z+003.0, p1_z+009.0"
    ]


def test_all_that_is_missing_and_extra_is_listed_beside_what_was_taken(stores, take, tmp_path):
    save(tmp_path / "theirs" / f"{stores[0].ids[0]}.png", ct(stores, 0))
    extra = [f"slice_{number}.png" for number in range(5)]
    for name in extra:
        save(tmp_path / "theirs" / name, ct(stores, 0))
    with pytest.raises(UserError, match=r"and 2 more \(all: .*failure.json\)"):
        take()
    failure = read_json(tmp_path / "taken" / "failure.json")
    assert (failure["missing_slices"], failure["extra_files"]) == (stores[0].ids[1:], extra)
    take(partial=True)
    record = read_json(tmp_path / "taken" / "record.json")
    assert (record["missing_slices"], record["extra_files"]) == (stores[0].ids[1:], extra)


def test_a_volume_that_ends_early_lacks_slices(stores, take, tmp_path):
    for number, subject in enumerate(NAMES):
        sitk.WriteImage(volume(stores, number)[:, :, : 8 + 4 * number], str(tmp_path / "theirs" / f"{subject}.nii.gz"))
    with pytest.raises(UserError, match=r"1 of 6 test slices are missing: p0_z\+009.0"):
        take()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, depth: int, colour: int) -> None:
    """A PNG of a depth and colour type that Pillow would not write."""
    head = struct.pack(">IIBBBBB", SIZE, SIZE, depth, colour, 0, 0, 0)
    lines = (b"\0" + b"\x5a" * (SIZE * depth // 8)) * SIZE
    parts = [
        (b"IHDR", head),
        *([(b"PLTE", bytes(48))] if colour == 3 else []),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def colour(path, image):
    Image.fromarray(np.repeat((image * 255).astype(np.uint8)[..., None], 3, 2)).save(path)


WRONG = {
    "colour": (".png", colour, "a PNG with colour; save one grey channel"),
    "palette": (".png", lambda path, _: png(path, 4, 3), "a PNG with a palette"),
    "four bits": (".png", lambda path, _: png(path, 4, 0), "a PNG of 4 bits; save 8 or 16"),
    "one bit": (".png", lambda path, _: png(path, 1, 0), "a PNG of 1 bit;"),
    "no PNG": (".png", lambda path, _: path.write_bytes(b"GIF89a" * 9), "no PNG, whatever its name says"),
    "cut short": (
        ".png",
        lambda path, image: (save(path, image), path.write_bytes(path.read_bytes()[:90])),
        "cannot be read",
    ),
    "another size": (".png", lambda path, image: save(path, image[:20]), "20x24 pixels, the slices have 24x24"),
    "one value": (".png", lambda path, image: save(path, image * 0 + 0.5), "every pixel is 0.5"),
    "another size, npy": (".npy", lambda path, image: save(path, image[:, :20]), "24x20 pixels, the slices have 24x24"),
    "a stack": (".npy", lambda path, image: save(path, np.stack([image] * 2)), r"an array of shape \(2, 24, 24\)"),
    "whole numbers": (".npy", lambda path, image: save(path, (image * 255).astype(np.uint8)), "values of type uint8"),
    "NaN": (".npy", lambda path, image: save(path, np.where(image > 0.5, np.nan, image)), "values are NaN or infinite"),
    "tanh": (
        ".npy",
        lambda path, image: save(path, 2 * image - 1),
        r"from -1 to .* as tanh gives them: save \(x \+ 1\) / 2",
    ),
    "greys of 8 bits": (".npy", lambda path, image: save(path, 255 * image), "8-bit greys: divide them by 255"),
    "HU": (".npy", lambda path, image: save(path, 2000 * image - 1000), "give --units hu where they are HU"),
    "a pickle": (".npy", lambda path, image: np.save(path, np.array([{}]), allow_pickle=True), "cannot be read"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_an_image_that_cannot_be_scored_is_refused_in_a_line(stores, take, tmp_path, fault):
    for number, image_id in enumerate(stores[0].ids):
        save(tmp_path / "theirs" / f"{image_id}.png", ct(stores, number))
    ending, wrong, message = WRONG[fault]
    path = tmp_path / "theirs" / f"{stores[0].ids[2]}{ending}"
    path.with_suffix(".png").unlink()
    wrong(path, ct(stores, 2))
    with pytest.raises(UserError, match=message) as error:
        take()
    assert path.name in str(error.value)
    assert not (tmp_path / "taken" / "manifest.json").exists()
    assert read_json(tmp_path / "taken" / "failure.json")["status"] == "failed"


def test_an_image_of_one_value_is_right_where_there_was_nothing_to_translate(tmp_path, quiet):
    with StoreWriter(tmp_path / "test", ("ct", "mr"), (SIZE, SIZE), {"dataset": "toy"}) as writer:
        for number, mr in enumerate((np.eye(SIZE), np.full((SIZE, SIZE), 0.01))):
            row = {"id": f"p_{number}", "subject": "p", "site": "a", "position_mm": float(number)}
            writer.add({"ct": np.eye(SIZE), "mr": mr}, **row)
    save(tmp_path / "theirs" / "p_0.png", np.eye(SIZE))
    save(tmp_path / "theirs" / "p_1.png", np.zeros((SIZE, SIZE)))
    entry = {"id": "x", "folder": str(tmp_path / "theirs"), "dataset": "toy", "direction": "mr->ct"}
    import_predictions(PredictionsEntry.model_validate(entry), tmp_path / "test", tmp_path / "taken", quiet)
    assert SliceStore(tmp_path / "taken").array("ct")[1].max() == 0


def test_units_that_contradict_all_values_together(stores, take, tmp_path):
    for number, image_id in enumerate(stores[0].ids):
        save(tmp_path / "theirs" / f"{image_id}.npy", ct(stores, number))
    with pytest.raises(UserError, match="are no HU of whole slices: air is -1000"):
        take(units="hu")
    for number, image_id in enumerate(stores[0].ids):
        (tmp_path / "theirs" / f"{image_id}.npy").unlink()
        save(tmp_path / "theirs" / f"{image_id}.png", ct(stores, number) * 255 / 65535)
    with pytest.raises(UserError, match="16-bit PNGs without a value above 255"):
        take()
    with pytest.raises(UserError, match="a PNG holds no HU"):
        take(units="hu")


def test_hu_needs_a_window(stores, take, tmp_path):
    save(tmp_path / "theirs" / f"{stores[0].ids[0]}.npy", ct(stores, 0))
    with pytest.raises(UserError, match="its MR is not mapped to .* by a fixed window"):
        take(units="hu", direction="ct->mr")


@pytest.mark.parametrize("second", ["{}.npy", "again/{}.png"])
def test_a_slice_given_twice(stores, take, tmp_path, second):
    for form in ("{}.png", second):
        save(tmp_path / "theirs" / form.format(stores[0].ids[0]), ct(stores, 0))
    with pytest.raises(UserError, match="comes twice: .* and "):
        take()


def test_a_slice_that_lies_in_a_volume_too(stores, take, tmp_path):
    sitk.WriteImage(volume(stores, 0), str(tmp_path / "theirs" / "s0.nii.gz"))
    save(tmp_path / "theirs" / f"{stores[0].ids[1]}.png", ct(stores, 1))
    with pytest.raises(UserError, match="comes twice; it lies in s0.nii.gz too"):
        take(partial=True)


def test_a_volume_that_lies_elsewhere(stores, take, tmp_path):
    for number, subject in enumerate(NAMES):
        image = volume(stores, number)
        image.SetOrigin([value + 300 for value in image.GetOrigin()])
        sitk.WriteImage(image, str(tmp_path / "theirs" / f"{subject}.nii.gz"))
    with pytest.raises(UserError, match=r"holds 0% of the field of slice|test slices are missing"):
        take()


def test_files_that_belong_to_nothing(take, tmp_path):
    with pytest.raises(UserError, match=r"no file is named by a slice or subject \(it is empty\); name them like p0_z"):
        take()
    save(tmp_path / "theirs" / "001.png", np.eye(SIZE))
    with pytest.raises(UserError, match=r"it has 001.png"):
        take()
    with pytest.raises(UserError, match="does not say where the name stands"):
        take(files="slice.png")


def test_no_such_folder(take, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        take(folder=str(tmp_path / "nowhere"))

"""Slices across the third axis of a file, wherever it points: what CuRIOUS needs, whose grid follows the ultrasound."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.data.volumes.resample import stored_axes
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress
from xmodbench.store import SliceStore

# EASY-RESECT's shape at a fourth of its resolution; its numbers of voxels are kept apart
SIZE, SPACING = (64, 64, 72), 2.0
UPRIGHT = np.eye(3)
# the third axis runs to the left, the first down, the second to the back
LYING = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
FORWARD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def head(direction, tilt, seed):
    """A head-like ball whose value tells where a voxel is along the third axis of the file."""
    turn = sitk.Euler3DTransform((0, 0, 0), *np.radians(tilt).tolist())
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * SPACING for n in SIZE[::-1]], indexing="ij")
    ball = (x / 58) ** 2 + (y / 58) ** 2 + (z / 66) ** 2 < 1
    noise = np.random.default_rng(seed).normal(0, 5, ball.shape)
    image = sitk.GetImageFromArray((ball * (500 + 3 * z + noise)).astype(np.float32))
    image.SetSpacing([SPACING] * 3)
    image.SetDirection((np.reshape(turn.GetMatrix(), (3, 3)) @ direction).ravel().tolist())
    corner = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in SIZE])
    image.SetOrigin((-np.array(corner)).tolist())
    return image


@pytest.fixture(params=[(UPRIGHT, "axial"), (LYING, "sagittal"), (FORWARD, "coronal")], ids=lambda item: item[1])
def raw(request, tmp_path):
    direction, plane = request.param
    for number in (1, 2):
        folder = tmp_path / "EASY-RESECT" / "NIFTI" / f"Case{number}"
        folder.mkdir(parents=True)
        for name in ("T1", "FLAIR"):
            image = head(direction, (9, -12, 14), number)
            sitk.WriteImage(image, str(folder / f"Case{number}-{name}-resize.nii"))
    return tmp_path, plane


def prepare(raw, **settings):
    plugin = find(DATASETS, "curious")
    split = {"order": "sorted", "n_test": 1}
    dataset = plugin.cls(plugin.cls.Config.model_validate({"split": split, "image_size": 32, **settings}))
    out = raw / "out"
    prepare_dataset(dataset, raw, out, dataset_id="curious", seed=1, threads=1, progress=Progress(quiet=True))
    return SliceStore(out / "train")


def columns(row):
    matrix = np.array(json.loads(row["affine"]))[:3, :3]
    return np.linalg.norm(matrix, axis=0)


def test_the_long_axis_is_sliced_wherever_it_points(raw):
    folder, plane = raw
    store = prepare(folder, spacing_mm=(4.0, 4.0, 2.0))
    assert {row["axis"] for row in store.rows} == {plane}
    # as many slices and pixels of the same size as upright: one in five of 72, less what is empty
    assert len(store.rows) == 13
    for row in store.rows:
        np.testing.assert_allclose(columns(row), (4.0, 4.0, 2.0), atol=1e-3)
        assert sorted(json.loads(row["volume_shape"])) == [32, 32, 72]
    # a slice holds one place along the file's third axis: its values hardly differ, other slices' do
    images = store.array("t1")
    # those at the ends show less of the head than the window takes
    inside = [image[12:20, 12:20] for image in images[2:-2]]
    means = np.array([part.mean() for part in inside])
    assert max(part.std() for part in inside) < 0.03
    assert np.all(np.diff(means) > 0.03) or np.all(np.diff(means) < -0.03)


def test_the_paper_s_grid_is_the_default():
    config = find(DATASETS, "curious").cls.Config()
    assert (config.axis, config.spacing_mm, config.image_size) == ("stored", (1.0, 1.0, 0.5), 128)
    assert config.slices.stride_slices == 5


def test_upwards_the_long_axis_of_a_lying_grid_is_padded(raw):
    folder, plane = raw
    store = prepare(folder, spacing_mm=None, axis="axial")
    square = plane == "axial"
    for row in store.rows:
        assert columns(row)[0] == pytest.approx(4.0 if square else 4.5, abs=1e-3)


def test_the_order_of_axes_is_that_of_nibabel():
    import nibabel

    for direction in (UPRIGHT, LYING, FORWARD):
        image = head(direction, (9, -12, 14), 1)
        ras = np.diag([-1, -1, 1]) @ np.reshape(image.GetDirection(), (3, 3))
        expected = nibabel.orientations.io_orientation(np.block([[ras, np.zeros((3, 1))], [np.zeros((1, 3)), 1]]))
        assert list(stored_axes(image)) == expected[:, 0].tolist()

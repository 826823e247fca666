"""Reading volumes: formats agree, geometry is kept."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.volumes.io import read_volume, write_volume
from xmodbench.volumes.resample import affine_ras, grid_like, orient, overlap, resample, same_grid


def image(shape=(12, 14, 16), seed=0):
    volume = sitk.GetImageFromArray(np.random.default_rng(seed).uniform(0, 900, shape).astype(np.float32))
    volume.SetSpacing((1.0, 1.5, 2.0))
    volume.SetOrigin((-10.0, 5.0, 3.0))
    return volume


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_formats_hold_the_same_volume(tmp_path, suffix):
    if suffix == ".mhd":
        sitk.WriteImage(image(), str(tmp_path / "a.mhd"))
    else:
        write_volume(image(), tmp_path / f"a{suffix}")
    read = read_volume(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image()))
    assert same_grid(read, image())


def test_world_is_that_of_nibabel(tmp_path):
    turned = image()
    turned.SetDirection(np.ravel([[0, 0, -1], [1, 0, 0], [0, 1, 0]]).astype(float).tolist())
    write_volume(turned, tmp_path / "a.nii.gz")
    np.testing.assert_allclose(
        affine_ras(read_volume(tmp_path / "a.nii.gz")), nibabel.load(tmp_path / "a.nii.gz").affine, atol=1e-4
    )


def test_a_trailing_fourth_axis_of_one_is_dropped(tmp_path):
    sitk.WriteImage(sitk.JoinSeries([image()]), str(tmp_path / "a.nii.gz"))
    assert read_volume(tmp_path / "a.nii.gz").GetSize() == image().GetSize()


def test_orienting_moves_no_voxel_in_the_world():
    turned = image()
    turned.SetDirection(np.ravel([[0, 0, -1], [1, 0, 0], [0, 1, 0]]).astype(float).tolist())
    straight = orient(turned)
    point = turned.TransformIndexToPhysicalPoint((3, 4, 5))
    assert straight[straight.TransformPhysicalPointToIndex(point)] == turned[3, 4, 5]
    np.testing.assert_allclose(np.reshape(straight.GetDirection(), (3, 3)), np.eye(3))


def test_another_spacing_keeps_the_field_of_view():
    grid = grid_like(image((20, 20, 20)), (2.0, 3.0, 4.0))
    assert grid.GetSize() == (10, 10, 10)
    first = np.array(grid.GetOrigin()) - np.array(grid.GetSpacing()) / 2
    np.testing.assert_allclose(first, np.array([-10, 5, 3]) - np.array([1, 1.5, 2]) / 2)


def test_splines_do_not_leave_the_range():
    step = np.zeros((16, 16, 16), np.float32)
    step[8:] = 1
    volume = sitk.GetImageFromArray(step)
    values = sitk.GetArrayFromImage(resample(volume, grid_like(volume, 0.7), interpolation="bspline"))
    assert values.min() >= 0
    assert values.max() <= 1


def test_overlap_is_the_shared_share():
    moved = image()
    moved.SetOrigin((-10.0 + 16 * 1.0 / 4, 5.0, 3.0))
    assert overlap(image(), image()) == 1
    assert overlap(image(), moved) == pytest.approx(0.75, abs=0.05)
    moved.SetOrigin((500.0, 0.0, 0.0))
    assert overlap(image(), moved) == 0

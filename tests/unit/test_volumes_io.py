"""Reading volumes: formats agree, geometry is kept."""

import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.volumes.io import read_volume, write_volume
from xmodbench.data.volumes.resample import affine_ras, grid_like, orient, overlap, resample, same_grid
from xmodbench.errors import UserError


def remarks(path):
    said = []
    read_volume(path, remark=said.append)
    return "; ".join(said)


def image(shape=(12, 14, 16), seed=0):
    volume = sitk.GetImageFromArray(np.random.default_rng(seed).uniform(0, 900, shape).astype(np.float32))
    volume.SetSpacing((1.0, 1.5, 2.0))
    volume.SetOrigin((-10.0, 5.0, 3.0))
    return volume


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_formats_hold_the_same_volume(tmp_path, suffix):
    if suffix in (".mhd", ".nhdr"):
        sitk.WriteImage(image(), str(tmp_path / f"a{suffix}"))
    elif suffix == ".hdr":
        sitk.WriteImage(image(), str(tmp_path / "b.nii"))
        nibabel.save(nibabel.Nifti1Pair.from_image(nibabel.load(tmp_path / "b.nii")), tmp_path / "a.hdr")
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


def two_positions(path, sform, qform=None, codes=(2, 1)):
    """A NIfTI file by nibabel with an sform and a qform of their own."""
    file = nibabel.Nifti1Image(np.random.default_rng(0).uniform(1, 9, (8, 9, 10)).astype(np.float32), None)
    file.header.set_qform(np.diag([1.0, 1.5, 2.0, 1.0]) if qform is None else qform, codes[1])
    file.header.set_sform(sform, codes[0])
    nibabel.save(file, path)
    return path


def affine(shift=(0, 0, 0), turn=0.0, spacing=(1.0, 1.5, 2.0), shear=0.0, mirror=1):
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, shear, mirror]])
    matrix[:3, :3] *= spacing
    matrix[:3, 3] = shift
    return matrix


@pytest.mark.parametrize("codes", [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (4, 1), (0, 1), (0, 2)])
@pytest.mark.parametrize(
    "sform",
    [
        affine(shift=(3, -4, 5)),
        affine(turn=0.2),
        affine(spacing=(1.1, 1.4, 2.5)),
        affine(shift=(9, 0, 0), turn=-0.7, mirror=-1),
    ],
)
def test_of_two_positions_the_sform_is_taken_as_by_nibabel(tmp_path, sform, codes):
    path = two_positions(tmp_path / "a.nii.gz", sform, affine(turn=0.4, shift=(1, 2, 3), mirror=-1), codes)
    read, reference = read_volume(path), nibabel.load(path)
    np.testing.assert_allclose(affine_ras(read), reference.affine, atol=1e-4)
    np.testing.assert_allclose(np.array(read.GetSpacing()), reference.header.get_zooms() if 0 in codes[:1] else
                               np.linalg.norm(sform[:3, :3], axis=0), atol=1e-5)  # fmt: skip
    assert ("mm apart" in remarks(path)) == (0 not in codes)


def test_a_contradiction_is_measured_at_the_corners(tmp_path):
    path = tmp_path / "a.nii"
    two_positions(path, affine(shift=(0.9, 0, 0)))
    assert "mm apart" not in remarks(path)
    two_positions(path, affine(shift=(3, 4, 0)))
    assert "up to 5.0 mm apart; the sform is used" in remarks(path)
    # a turn about the first voxel moves the far corner most
    two_positions(path, affine(turn=0.3), affine(turn=0.1, mirror=-1))
    a, b = (nibabel.load(path).header.get_sform(), nibabel.load(path).header.get_qform())
    corners = nibabel.affines.apply_affine(
        a - b + np.diag([0, 0, 0, 1]), np.array(np.meshgrid([0, 7], [0, 8], [0, 9])).T
    )
    assert f"up to {np.linalg.norm(corners, axis=-1).max():.1f} mm" in remarks(path)


@pytest.mark.parametrize("codes", [(1, 0), (1, 1), (2, 1)])
def test_a_sheared_sform_is_refused_not_passed_over(tmp_path, codes):
    path = two_positions(tmp_path / "a.nii", affine(shear=0.3), codes=codes)
    with pytest.raises(UserError, match=r"a.nii: its header shears the voxels.*; resample"):
        read_volume(path)


def test_rounding_in_an_sform_changes_nothing(tmp_path):
    write_volume(image(), tmp_path / "a.nii.gz")
    read = read_volume(tmp_path / "a.nii.gz")
    assert read.GetSpacing() == image().GetSpacing() and read.GetDirection() == image().GetDirection()


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


def test_a_sign_of_zero_is_one_and_a_header_nobody_understands_is_one_line(tmp_path):
    path, rng = tmp_path / "a.nii", np.random.default_rng(0)
    image = nibabel.Nifti1Image(rng.random((4, 5, 3), dtype=np.float32), np.diag([2.0, 2.0, 3.0, 1.0]))
    image.set_qform(image.affine, code=1)
    nibabel.save(image, path)
    raw = bytearray(path.read_bytes())
    for place, value, kind in ((76, 0.0, "<f"), (70, 999, "<h")):
        changed = bytearray(raw)
        struct.pack_into(kind, changed, place, value)
        path.write_bytes(changed)
        if kind == "<f":  # pixdim[0]
            np.testing.assert_allclose(affine_ras(read_volume(path)), image.affine)
        else:  # datatype
            with pytest.raises(UserError, match="its header cannot be understood"):
                read_volume(path)


def test_the_last_of_an_odd_number_of_voxels_is_looked_at(tmp_path):
    voxels = np.random.default_rng(0).random((3, 5, 3), dtype=np.float32)
    voxels[-1, -1, -1] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(UserError, match="1 voxels are NaN"):
        read_volume(tmp_path / "a.nii")

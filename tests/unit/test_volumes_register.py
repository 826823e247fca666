"""Rigid registration on a small made-up head of two contrasts."""

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.metrics import normalized_mutual_information

from xmodbench.data.volumes.mask import head_mask
from xmodbench.data.volumes.register import nmi, register_rigid


def phantom():
    """Two contrasts of nested ellipsoids, 3 mm, with noise."""
    z, y, x = np.meshgrid(*[np.linspace(-96, 93, 64)] * 3, indexing="ij")
    labels = np.zeros(x.shape, int)
    parts = [
        ((0, 0, 0), (70, 88, 78)),
        ((0, 0, 0), (60, 75, 66)),
        ((25, 20, 10), (16, 30, 20)),
        ((-20, -35, 22), (18, 12, 30)),
    ]
    for number, ((a, b, c), (p, q, r)) in enumerate(parts, 1):
        labels[((x - a) / p) ** 2 + ((y - b) / q) ** 2 + ((z - c) / r) ** 2 < 1] = number
    generator = np.random.default_rng(0)
    images = []
    for values in ([0, 900, 400, 150, 600], [0, 500, 600, 900, 800]):
        image = sitk.GetImageFromArray((np.array(values)[labels] + generator.normal(0, 12, x.shape)).astype(np.float32))
        image.SetSpacing((3, 3, 3))
        image.SetOrigin((-96, -96, -96))
        images.append(sitk.SmoothingRecursiveGaussian(image, 2.0))
    return images


@pytest.fixture(scope="module")
def pair():
    return phantom()


def moved(image, angles_deg, shift):
    truth = sitk.Euler3DTransform((0, 0, 0), *np.radians(angles_deg).tolist(), shift)
    return sitk.Resample(image, image, truth.GetInverse(), sitk.sitkLinear, 0.0), truth


@pytest.mark.parametrize(("angles", "shift"), [((2, -3, 1.5), (3, -2, 4)), ((0, 0, 0), (0, 0, 0))])
def test_an_offset_is_found_to_half_a_millimetre_and_degree(pair, angles, shift):
    fixed, other = pair
    moving, truth = moved(other, angles, shift)
    result = register_rigid(fixed, moving, head_mask(fixed), head_mask(moving), seed=1)
    assert result.accepted, result.reasons
    assert result.start == "headers"
    np.testing.assert_allclose(result.transform.TransformPoint((0, 0, 0)), truth.TransformPoint((0, 0, 0)), atol=0.5)
    rest = np.reshape(result.transform.GetMatrix(), (3, 3)) @ np.reshape(truth.GetMatrix(), (3, 3)).T
    assert np.degrees(np.arccos(min(1, (np.trace(rest) - 1) / 2))) < 0.5
    written = result.facts()["transform"]
    kept = sitk.Euler3DTransform(written["centre_mm"], *written["angles_rad"], written["translation_mm"])
    np.testing.assert_allclose(
        kept.TransformPoint((50, 60, 70)), result.transform.TransformPoint((50, 60, 70)), atol=1e-3
    )
    again = register_rigid(fixed, moving, head_mask(fixed), head_mask(moving), seed=1)
    assert again.transform.GetParameters() == result.transform.GetParameters()


def test_an_offset_beyond_the_limits_is_rejected_with_the_reason(pair):
    fixed, other = pair
    moving, _ = moved(other, (0, 0, 0), (60, 0, 0))
    result = register_rigid(fixed, moving, head_mask(fixed), head_mask(moving), seed=1)
    assert not result.accepted
    assert any("limit 15" in reason or "covers" in reason for reason in result.reasons)


def test_a_header_that_is_far_off_is_overcome_and_told(pair):
    fixed, other = pair
    moving, truth = moved(other, (2, 0, -3), (2, 1, -3))
    # the same voxels, said to be elsewhere, too far for a search from there
    moving.SetOrigin(np.add(moving.GetOrigin(), (40, 40, 0)).tolist())
    masks = head_mask(fixed), head_mask(moving)
    strict = register_rigid(fixed, moving, *masks, seed=1)
    assert strict.start == strict.facts()["start"] == "moments"
    assert not strict.accepted
    assert any("moved by 5" in reason and "limit 15" in reason for reason in strict.reasons)
    lenient = register_rigid(fixed, moving, *masks, seed=1, limit_mm=80)
    assert lenient.accepted, lenient.reasons
    assert lenient.facts()["translation_mm"] == strict.facts()["translation_mm"]
    for point in ((0, 0, 0), (40, 30, -20)):
        expected = np.add(truth.TransformPoint(point), (40, 40, 0))
        np.testing.assert_allclose(lenient.transform.TransformPoint(point), expected, atol=0.7)


def test_nmi_is_scikit_images():
    generator = np.random.default_rng(0)
    a = generator.random((30, 30))
    b = a + 0.2 * generator.random((30, 30))
    assert nmi(a, b, bins=32) == pytest.approx(normalized_mutual_information(a, b, bins=32))


def test_a_mask_of_fine_voxels_is_that_of_coarse_ones(pair):
    coarse = head_mask(pair[0])
    grid = sitk.Image([191, 190, 189], sitk.sitkUInt8)
    grid.SetSpacing((1.0, 1.0, 1.0))
    grid.SetOrigin((-96, -96, -96))
    fine = head_mask(sitk.Resample(pair[0], grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32))
    assert fine.GetSize() == grid.GetSize() and fine.GetPixelID() == sitk.sitkUInt8
    expected = sitk.GetArrayFromImage(sitk.Resample(coarse, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)) > 0
    found = sitk.GetArrayFromImage(fine) > 0
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.97

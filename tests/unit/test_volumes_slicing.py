"""Slices: which are taken, how they are cut, and where they belong."""

import numpy as np
import pytest

from xmodbench.data.volumes.normalise import normalise, stretch
from xmodbench.data.volumes.settings import Normalisation, SliceSelection, Split
from xmodbench.data.volumes.slicing import PLANES, choose, field_of_view, plane_view, slice_affine, to_square
from xmodbench.data.volumes.split import split_blocks, split_subjects
from xmodbench.errors import UserError


def mask(low=10, high=30, slices=50):
    volume = np.zeros((slices, 20, 20), bool)
    volume[low : high + 1, 5:15, 4:14] = True
    return volume


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"fractions": (0, 0.5, 1)}, [10, 20, 30]),
        ({"count": 3, "height_range": (0.5, 1)}, [20, 25, 30]),
        ({"stride_mm": 10}, [10, 15, 20, 25, 30]),
        ({"stride_slices": 8}, [10, 18, 26]),
        ({}, list(range(10, 31))),
    ],
)
def test_heights_are_counted_within_the_head(how, expected):
    assert choose(mask(), 2.0, SliceSelection(**how)) == expected
    shifted = choose(mask(15, 35), 2.0, SliceSelection(**how))
    assert shifted == [index + 5 for index in expected]


@pytest.mark.parametrize(
    "how",
    [
        {"fractions": (0.45, 0.55, 0.65)},
        {"count": 4, "height_range": (0.3, 0.9)},
        {"stride_mm": 7},
        {"stride_slices": 3, "height_range": (0.5, 1)},
        {},
    ],
)
def test_heights_from_the_top_do_not_depend_on_how_far_down_a_scan_reaches(how):
    whole = mask(4, 44)
    anchored = SliceSelection(**how, height_mm=50)
    chosen = choose(whole, 2.0, anchored)
    for lost in (3, 10, 14):
        # the lower slices were not scanned: the same place has a lower index
        cut = choose(whole[lost:], 2.0, anchored)
        assert [index + lost for index in cut] == chosen
    # without it they move; each by less the nearer it is to the top
    if how and "stride_slices" not in how:
        assert [index + 14 for index in choose(whole[14:], 2.0, SliceSelection(**how))] != choose(
            whole, 2.0, SliceSelection(**how)
        )


def test_heights_from_the_top_are_millimetres():
    assert choose(mask(4, 44), 2.0, SliceSelection(fractions=(0, 0.5, 1), height_mm=60)) == [14, 29, 44]
    # below the scan there is nothing to take
    assert choose(mask(0, 20), 2.0, SliceSelection(fractions=(0, 0.5, 1), height_mm=60)) == [5, 20]
    with pytest.raises(UserError, match="ends above all the heights"):
        choose(mask(0, 20), 2.0, SliceSelection(fractions=(0.1,), height_mm=60))


def test_an_empty_mask_is_refused():
    with pytest.raises(UserError, match="no head"):
        choose(np.zeros((5, 4, 4), bool), 1.0, SliceSelection())


@pytest.mark.parametrize("axis", PLANES)
def test_affine_leads_back_to_the_volume(axis):
    # a volume whose value at each voxel is a linear function of its world position survives cutting and resizing
    shape, plane = (24, 28, 32), PLANES[axis]
    affine = np.array([[-1.5, 0, 0.1, 20], [0, -2.0, 0, 30], [0, 0.1, 1.2, -9], [0, 0, 0, 1]])
    index = np.stack(np.meshgrid(*map(np.arange, shape[::-1]), indexing="ij"), -1).transpose(2, 1, 0, 3)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    weights = np.array([1.0, 2.0, -0.5])
    view = plane_view((world @ weights).astype(np.float32), plane)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    crop = field_of_view(np.ones(view.shape, bool), (spacing[plane.rows], spacing[plane.cols]), 24.0)
    image = to_square(view[5], crop, 8)
    to_world = slice_affine(affine, view.shape[1:], plane, 5, crop, 8)
    rows, cols = np.mgrid[2:6, 2:6]
    places = np.stack([cols, rows, 0 * rows, 1 + 0 * rows], -1) @ to_world.T
    np.testing.assert_allclose(image[2:6, 2:6], places[..., :3] @ weights, atol=0.15)


def test_field_of_view_is_centred_on_the_head_and_padded():
    crop = field_of_view(mask(), (1.0, 1.0), 30.0)
    assert (crop.height, crop.width) == (30, 30)
    cut = crop.cut(np.ones((20, 20), np.float32), 0.0)
    assert cut.sum() == 400
    rows = np.flatnonzero(crop.cut(mask()[20], False).any(1))
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(14.5, abs=0.5)


def test_making_smaller_averages_instead_of_skipping():
    lines = np.tile(np.array([0, 1], np.float32), (64, 32))
    crop = field_of_view(np.ones((1, 64, 64), bool), (1, 1), None)
    assert to_square(lines, crop, 16)[4:-4, 4:-4] == pytest.approx(0.5, abs=0.1)


def test_percentiles_are_of_the_head_alone():
    volume = np.zeros((4, 10, 10), np.float32)
    inside = np.zeros(volume.shape, bool)
    inside[:, 2:8, 2:8] = True
    volume[inside] = np.linspace(100, 300, inside.sum())
    result = normalise(volume, inside, Normalisation(low=10, high=90))
    low, high = np.percentile(volume[inside], [10, 90])
    np.testing.assert_allclose(result[inside], np.clip((volume[inside] - low) / (high - low), 0, 1), rtol=1e-5)
    assert result[~inside].max() == 0


def test_window_and_zscore_and_slice_range():
    volume = np.array([[[-1200.0, -1000, 0, 1000, 3000]]], np.float32)
    everywhere = np.ones(volume.shape, bool)
    window = normalise(volume, everywhere, Normalisation(method="window", low=-1000, high=1000))
    assert window.ravel().tolist() == [0, 0, 0.5, 1, 1]
    z = normalise(volume, everywhere, Normalisation(method="zscore"))
    np.testing.assert_allclose(z, (volume - volume.mean()) / volume.std() / 6 + 0.5, rtol=1e-5)
    assert stretch(np.array([[2.0, 4.0]])).tolist() == [[0, 1]]
    with pytest.raises(UserError, match="empty"):
        normalise(np.ones((1, 2, 2)), np.ones((1, 2, 2), bool), Normalisation())


@pytest.mark.fault(
    "volumes", "a patient has slices for training and for the test", "impossible: subjects are divided, never slices"
)
def test_subjects_are_never_in_both_parts():
    names = [f"s{i:02d}" for i in range(11)]
    for how in (Split(), Split(order="random"), Split(n_train=4, n_test=3), Split(test_subjects=("s03",))):
        train, test = split_subjects(names, how, 1)
        assert not set(train) & set(test)
        assert train == sorted(train)
    assert split_subjects(names, Split(n_test=2), 1)[1] == ["s09", "s10"]
    assert split_subjects(names, Split(n_train=4, n_test=3), 1) == (names[:4], names[4:7])
    assert split_subjects(names, Split(order="random"), 1) != split_subjects(names, Split(order="random"), 2)
    assert split_subjects(names[::-1], Split(order="random"), 1) == split_subjects(names, Split(order="random"), 1)


def test_impossible_splits_say_why():
    with pytest.raises(UserError, match="5 training and 3 test subjects asked for, 4"):
        split_subjects("abcd", Split(n_train=5, n_test=3), 1)
    with pytest.raises(UserError, match="no subject 'subj1'.*did you mean 'subj-1'"):
        split_subjects(["subj-1", "x"], Split(test_subjects=("subj1",)), 1)


@pytest.mark.parametrize("order", ["sorted", "random"])
def test_a_lone_subject_is_split_in_blocks_with_a_gap(order):
    positions = np.arange(40) * 2.0
    train, test = split_blocks(positions, Split(order=order, test_fraction=0.25, gap_mm=7), 3)
    assert len(test) == 10
    assert np.ptp(positions[test]) == 18
    assert np.abs(positions[train][:, None] - positions[test]).min() >= 7

"""The field's numbers against independent references: SynthRAD2025's formulas in other words, scikit-image, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.signal import fftconvolve
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.mixture import GaussianMixture

from tests.report.synthetic import answer, heads
from xmodbench.data.volumes.normalise import cut_off
from xmodbench.metrics.field import similarity, structure
from xmodbench.metrics.field.cards import ALWAYS, EXTRAS
from xmodbench.metrics.field.tissues import hu_by_tissue
from xmodbench.metrics.field.units import Scale, body, scale_of
from xmodbench.metrics.registry import METRICS
from xmodbench.metrics.volumes import score_volumes, slice_changes

CT, MR = Scale(True, -1000.0, 1000.0), Scale(False)
ROWS = [float(place) for place in range(12)]


@pytest.fixture(scope="module")
def images():
    found, names = heads(3, 4, 64, seed=0)
    return found["pd"], found["t1"], names


def scored(images, method: str, scale: Scale = MR):
    source, target, names = images
    made = answer(method, *2 * ({"pd": source, "t1": target},), "pd", "t1")
    return score_volumes((made, target, source), names, ROWS, scale, MR)


def mean_of(found, name: str) -> float:
    if name in found.slices:
        return float(found.slices[name].mean())
    return float(np.mean([values[name] for values in found.volumes.values()]))


# -- SynthRAD2025, in other words -------------------------------------------------------------------------------------------
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def reference_ms_ssim(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """The challenge's masked MS-SSIM of HU volumes, which are padded to 97."""
    low, high = -1024.0, 3071.0
    a, b = (np.where(mask, np.clip(array, low, high), low) - low for array in (a, b))
    widths = [((97 - n) // 2, 97 - n - (97 - n) // 2) if n < 97 else (0, 0) for n in a.shape]
    a, b, inside = (np.pad(array, widths, mode="edge") for array in (a, b, mask))
    return by_scale(a, b, inside, WEIGHTS, high - low, (7, 7, 7))


def by_scale(a: np.ndarray, b: np.ndarray, inside: np.ndarray, weights, peak: float, window: tuple[int, ...]) -> float:
    """Halved along the window's axes with a mean of two, the map masked at each scale."""
    wide = [size > 1 for size in window]
    halves = np.full([2 if along else 1 for along in wide], 0.5 ** sum(wide))
    core = tuple(slice(3, -3) if along else slice(None) for along in wide)
    coarser = tuple(slice(None, None, 2 if along else 1) for along in wide)
    result = 1.0
    for weight in weights:
        c1, c2, n = (0.01 * peak) ** 2, (0.03 * peak) ** 2, int(np.prod(window))
        mu, nu = uniform_filter(a, window), uniform_filter(b, window)
        v = n / (n - 1) * (uniform_filter(a * a, window) - mu * mu)
        w = n / (n - 1) * (uniform_filter(b * b, window) - nu * nu)
        c = n / (n - 1) * (uniform_filter(a * b, window) - mu * nu)
        s, t = np.sqrt(v.clip(0)), np.sqrt(w.clip(0))
        light = (2 * mu * nu + c1) / (mu**2 + nu**2 + c1)
        contrast = ((2 * s * t + c2) / (v + w + c2)).clip(0)
        shape = ((c + c2 / 2) / (s * t + c2 / 2)).clip(0)
        field = light**weight * contrast**weight * shape**weight
        result *= np.clip(field[core][inside[core]].mean(), 0, 1)
        a, b = (fftconvolve(array, halves, mode="same")[coarser] for array in (a, b))
        inside = inside[coarser]
    return float(result)


@pytest.mark.reference(
    "MS-SSIM (body)", "SynthRAD2025's formula in other words, windows in the slice; 5 and 4 scales", "to 1e-9"
)
@pytest.mark.parametrize(("side", "scales"), [(128, 5), (64, 4)])
def test_ms_ssim_of_slices_is_the_formula_with_windows_in_the_plane(side, scales):
    rng = np.random.default_rng(1)
    target = gaussian_filter(rng.standard_normal((2, side, side)), (0, 2, 2)) * 0.7 + 0.5
    made, mask = target + 0.1 * rng.standard_normal(target.shape), np.zeros(target.shape, bool)
    mask[:, 10:-12, 8:-20] = True
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    found = similarity.ms_ssim(made, target, mask)
    a, b = (np.where(mask, array, 0) for array in (made, target))
    for place in (slice(0, 1), slice(1, 2)):
        wanted = by_scale(a[place], b[place], mask[place], weights, 1.0, (1, 7, 7))
        assert found.slices[place][0] == pytest.approx(wanted, abs=1e-9)
    assert found.volume == pytest.approx(by_scale(a, b, mask, weights, 1.0, (1, 7, 7)), abs=1e-9)


@pytest.mark.reference("MS-SSIM (3-D)", "SynthRAD2025's formula in other words, padding included", "to 1e-9")
def test_ms_ssim_of_a_volume_is_the_challenges():
    rng = np.random.default_rng(0)
    target = gaussian_filter(rng.standard_normal((9, 98, 60)), 2) * 4000
    made = target + 200 * rng.standard_normal(target.shape)
    mask = np.zeros(target.shape, bool)
    mask[1:, 10:80, 8:50] = True
    a, b = ((np.clip(array, -1024, 3071) + 1024) / 4095 for array in (made, target))
    assert similarity.ms_ssim_3d(a, b, mask) == pytest.approx(reference_ms_ssim(made, target, mask), abs=1e-9)


@pytest.mark.reference(
    "MAE, PSNR (body), by slice and volume", "NumPy and scikit-image on the masked HU", "to 1e-6 of the value"
)
def test_mae_and_psnr_are_the_challenges_and_scikit_images(images):
    source, target, names = images
    made = np.clip(target + 0.1, 0, 1)
    found = score_volumes((made, target, source), names, ROWS, CT, MR)
    mask = body(target, source, CT, MR)
    rows = [place for place, name in enumerate(names) if name == "sub01"]
    hu = [-1000 + 2000 * array[rows].astype(float)[mask[rows]] for array in (made, target)]
    assert found.volumes["sub01"]["volume.mae_hu"] == pytest.approx(np.abs(hu[0] - hu[1]).mean())
    wanted = peak_signal_noise_ratio(hu[1], hu[0], data_range=4095)
    assert found.volumes["sub01"]["volume.psnr"] == pytest.approx(wanted)
    one = [-1000 + 2000 * array[5].astype(float)[mask[5]] for array in (made, target)]
    assert found.slices["field.mae_hu"][5] == pytest.approx(np.abs(one[0] - one[1]).mean())
    assert found.slices["field.psnr"][5] == pytest.approx(peak_signal_noise_ratio(one[1], one[0], data_range=4095))
    share = score_volumes((made, target, source), names, ROWS, MR, MR)
    mask = body(target, source, MR, MR)
    assert share.slices["field.mae_percent"][5] == pytest.approx(
        100 * np.abs(made[5] - target[5])[mask[5]].mean(), rel=1e-5
    )


@pytest.mark.reference("one scale of MS-SSIM (body)", "scikit-image's SSIM", "to 1e-9")
def test_one_scale_of_ms_ssim_is_scikit_images_ssim(images):
    source, target, _ = images
    a, b = (array[:2].astype(float) for array in (source, target))
    whole = np.ones(a.shape, bool)
    field = similarity._similarity(a, b, (1, 2))
    _, wanted = structural_similarity(a[0], b[0], win_size=7, data_range=1.0, full=True)
    positive = (wanted > 0)[3:-3, 3:-3]  # where structure is not below 0, luminance x contrast x structure is SSIM
    np.testing.assert_allclose(field[0][3:-3, 3:-3][positive], wanted[3:-3, 3:-3][positive], atol=1e-9)
    assert similarity.ms_ssim(b, b, whole).volume == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("side", "scales"), [(128, 5), (97, 5), (96, 4), (64, 4), (49, 4), (48, 3), (25, 3), (24, 2), (13, 2), (12, 1)]
)
def test_small_images_have_fewer_scales(side, scales):
    assert similarity.scales_of(side) == scales
    image = np.random.default_rng(0).random((2, side, side))
    assert similarity.ms_ssim(image, image, np.ones(image.shape, bool)).slices == pytest.approx([1, 1])


@pytest.mark.parametrize("scale", [CT, MR])
def test_a_slice_without_a_body_counts_whole(scale):
    nothing, noise = np.zeros((2, 32, 32), np.float32), np.random.default_rng(0).random((2, 32, 32), np.float32)
    found = score_volumes((noise, nothing, nothing), ["a", "a"], [0.0, 1.0], scale, MR)
    assert found.slices["field.ms_ssim"].max() < 0.7  # not alike because nothing is looked at
    error = np.abs(noise.astype(float)).mean((1, 2))
    name, unit = ("field.mae_hu", 2000) if scale.hu else ("field.mae_percent", 100)
    assert found.slices[name] == pytest.approx(unit * error)


def test_a_small_body_has_coarse_scales_too():
    a, b = np.random.default_rng(0).random((2, 1, 128, 128))
    mask = np.zeros(a.shape, bool)
    mask[0, 61:64, 61:64] = True
    assert 0 <= similarity.ms_ssim(a, b, mask).volume < 1 and similarity.ms_ssim(a, a, mask).volume == pytest.approx(1)


# -- what is known of the values -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scale", [CT, MR])
def test_the_target_itself_has_the_best_of_each(images, scale):
    found = scored(images, "oracle", scale)
    names = [*found.slices, *next(iter(found.volumes.values()))]
    assert set(names) < set(ALWAYS)
    for name in names:
        low, high = ALWAYS[name].bounds
        assert mean_of(found, name) == pytest.approx(high if ALWAYS[name].higher_is_better else low), name


def test_a_copy_of_the_source_gains_no_structure(images):
    copied, blurred, good = (scored(images, name) for name in ("copy_source", "blurry", "good"))
    assert np.all(copied.slices["field.edges"] == 0)
    assert mean_of(good, "field.edges") > 0.9 > mean_of(blurred, "field.edges")
    assert mean_of(copied, "volume.dice_tissue") < 0.3 < 0.8 < mean_of(good, "volume.dice_tissue")
    assert mean_of(copied, "volume.dice_body") > 0.9  # its card says so


def test_edges_must_rise_the_same_way_and_be_where_the_target_has_them(images):
    source, target, _ = images
    mask = np.ones(target.shape, bool)

    def f1(made):
        return structure.new_edges(made, target, source, mask).mean()

    assert f1(1 - target) < 0.1
    assert f1(np.roll(target, 1, axis=2)) > 0.9 > 0.3 > f1(np.roll(target, 4, axis=2))
    assert f1(np.full_like(target, 0.5)) == 0
    flat = np.full_like(target, 0.5)
    assert np.all(structure.new_edges(flat, flat, flat, mask) == 1)


def test_slices_that_flicker_and_slices_all_alike(images):
    _, target, _ = images
    stack, mask = np.stack([target[0] * (0.8 + 0.02 * z) for z in range(6)]), np.ones((6, 64, 64), bool)
    assert slice_changes(stack, stack, mask) == 0
    assert slice_changes(stack + 0.1, stack, mask) == pytest.approx(0, abs=1e-6)  # all too bright alike
    assert slice_changes(np.repeat(stack[:1], 6, 0), stack, mask) == pytest.approx(1)
    jumping = stack + 0.05 * (np.arange(6) % 2)[:, None, None]
    assert slice_changes(jumping, stack, mask) > 1
    assert slice_changes(stack[:1], stack[:1], mask[:1]) is None
    assert slice_changes(stack, np.repeat(stack[:1], 6, 0), mask) is None


def test_volumes_follow_positions_not_the_stores_order(images):
    source, target, names = images
    order = np.random.default_rng(0).permutation(len(names))
    made = gaussian_filter(target, (0, 1, 1))
    straight = score_volumes((made, target, source), names, ROWS, MR, MR)
    mixed = score_volumes(
        (made[order], target[order], source[order]), [names[i] for i in order], [ROWS[i] for i in order], MR, MR
    )
    assert mixed.volumes == straight.volumes
    for name, values in straight.slices.items():
        np.testing.assert_array_equal(mixed.slices[name], values[order])


@pytest.mark.reference(
    "Dice, tissue classes: the mixture", "scikit-learn's GaussianMixture", "97 % of grey values in the same class"
)
def test_the_mixture_is_scikit_learns():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.04, 3000), rng.normal(0.5, 0.05, 5000), rng.normal(0.75, 0.04, 4000)])
    counts, ends = np.histogram(values.clip(0, 0.999), bins=structure.BINS, range=(0, 1))
    centres = (ends[1:] + ends[:-1]) / 2
    ours = structure.mixture(centres, counts.astype(float)).argmax(0)
    model = GaussianMixture(3, random_state=0).fit(values[:, None])
    rank = np.argsort(np.argsort(model.means_[:, 0]))
    theirs = rank[model.predict(centres[:, None])]
    seen = counts > 5
    assert (ours == theirs)[seen].mean() > 0.97


@pytest.mark.parametrize("values", [[], [0.5] * 40, [0.0] * 10 + [1.0] * 10])
def test_the_mixture_of_odd_values_has_classes_all_the_same(values):
    image = np.full((1, 8, 8), 0.5)
    inside = np.zeros(image.shape, bool)
    image.ravel()[: len(values)], inside.ravel()[: len(values)] = values, True
    assert set(structure.tissue_classes(image, inside)) <= {1, 2, 3}


def test_dice_of_an_empty_target_is_none():
    some, none = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    assert structure.dice(some, none) is None and structure.dice(none, some) == 0 and structure.dice(some, some) == 1


def test_hu_by_tissue_says_where_a_translation_is_off():
    target = np.full((1, 8, 8), 0.5)  # 0 HU
    target[0, :2] = 1.0  # cut off at 1000
    made = target.copy()
    made[0, :2] = 0.8  # 600 HU
    found = hu_by_tissue(made, target, np.ones(target.shape, bool), CT)
    assert found["clipped"] == {"low": 0, "high": 0.25}
    assert found["tissues"]["bone"] == {
        "voxels": 16,
        "target": 1000.0,
        "translation": pytest.approx(600),
        "mae": pytest.approx(400),
    }
    assert found["tissues"]["soft tissue"]["mae"] == 0 and "fat" not in found["tissues"]
    assert sum(found["histogram"]["target"]) == sum(found["histogram"]["translation"]) == 64


# -- units -----------------------------------------------------------------------------------------------------------------
KEPT = ["id", "ct_low", "ct_high", "mr_low", "mr_high"]


def test_units_are_known_or_not_assumed():
    settings = {
        "normalise": {
            "ct": {"method": "window", "low": -1000, "high": 2000},
            "mr": {"method": "window", "low": 0, "high": 255},
        }
    }
    assert scale_of({"settings": settings}, KEPT, "ct") == Scale(True, -1000, 2000)
    assert not scale_of({"settings": settings}, KEPT, "mr").hu  # a window without air is of no CT
    assert not scale_of({}, KEPT, "ct").hu
    assert scale_of({"settings": settings}, KEPT[:1], "ct") is None


def test_values_wider_than_the_challenges_range_are_cut_there():
    wide = Scale(True, -2000.0, 6000.0)
    assert wide.shares(np.array([0.0, 0.122, 1.0])) == pytest.approx([0, 0, 1], abs=1e-2)
    assert MR.shares(np.array([0.25])) == pytest.approx([0.25])


def test_the_body_is_the_cts_without_couch_whichever_way_it_is_translated():
    ct, mr = np.zeros((1, 32, 32), np.float32), np.zeros((1, 32, 32), np.float32)
    ct[0, 8:20, 8:24] = 0.5
    ct[0, 12:15, 12:15] = 0.0  # gas within
    ct[0, 26:28, 4:28] = 0.6  # couch
    wanted = np.zeros(ct.shape, bool)
    wanted[0, 8:20, 8:24] = True
    np.testing.assert_array_equal(body(ct, mr, CT, MR), wanted)
    np.testing.assert_array_equal(body(mr, ct, MR, CT), wanted)


def test_every_metric_has_a_card():
    for metric in (*METRICS.values(), *ALWAYS.values(), *EXTRAS.values()):
        assert metric.definition and metric.misled_by and len(metric.bounds) == 2, metric.id
    cards = [*ALWAYS.values(), *EXTRAS.values()]
    assert len({metric.id for metric in cards}) == len(cards) and not {metric.id for metric in cards} & set(METRICS)


def test_preparation_counts_what_the_window_cuts_off():
    volume = np.array([-1500.0, -500, 0, 500, 1500, 3000, 4000, 9999]).reshape(2, 2, 2)
    mask = np.ones(volume.shape, bool)
    mask[1, 1, 1] = False  # outside the body
    assert cut_off(volume, mask, (-1000.0, 1000.0)) == {"low": round(1 / 7, 6), "high": round(3 / 7, 6)}

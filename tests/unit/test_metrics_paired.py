"""Per-image metrics against independent implementations, and the special cases of their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter
from skimage.metrics import mean_squared_error, normalized_mutual_information, peak_signal_noise_ratio
from sklearn.metrics import mutual_info_score

from xmodbench.errors import UserError
from xmodbench.metrics import paired
from xmodbench.metrics.registry import METRICS, PAIRED, PSNR_CAP


def smooth_images(n: int = 4, size: int = 48, seed: int = 0) -> np.ndarray:
    """Smooth random images in [0, 1] with an empty border."""
    images = gaussian_filter(np.random.default_rng(seed).random((n, size, size)), (0, 3, 3))
    images = (images - images.min()) / np.ptp(images)
    images[:, :4] = images[:, :, :4] = 0
    return images.astype(np.float32)


@pytest.fixture
def trio():
    """Translation, target, source: the translation is a noisy target, the source its inverse."""
    target = smooth_images()
    noise = 0.05 * np.random.default_rng(1).standard_normal(target.shape)
    return np.clip(target + noise, 0, 1).astype(np.float32), target, (1 - target) * (target > 0)


def ssim_from_formula(x, y, data_range):
    """Wang et al. 2004, equation 13, with a 7 x 7 uniform window and sample covariance, border left out."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean = lambda image: uniform_filter(image, 7)  # noqa: E731
    mx, my, unbiased = mean(x), mean(y), 49 / 48
    vx, vy, vxy = (
        unbiased * (mean(a * b) - ma * mb) for a, b, ma, mb in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my))
    )
    field = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return field[3:-3, 3:-3].mean()


@pytest.mark.reference(
    "SSIM-Tar, SSIM-Src (paper), SSIM (8-bit)",
    "Wang et al. 2004, equation 13, with SciPy's filters",
    "to 1e-6 of the value",
)
@pytest.mark.parametrize(("name", "data_range"), [("ssim_skimage019_float", 2.0), ("ssim_uint8", 255.0)])
def test_uniform_ssim_is_the_formula_on_grey_levels(trio, name, data_range):
    a, b, _ = trio
    levels = [np.round(images.astype(np.float64) * 255) for images in (a, b)]
    expected = [ssim_from_formula(x, y, data_range) for x, y in zip(*levels, strict=True)]
    np.testing.assert_allclose(getattr(paired, name)(a, b), expected, rtol=1e-6)


@pytest.mark.reference("SSIM-Tar, SSIM-Src (standard)", "torchmetrics, without the border", "to 1e-9")
@pytest.mark.reference("SSIM-Tar (foreground)", "torchmetrics' map, averaged there", "to 1e-9")
@pytest.mark.reference("PSNR (standard)", "torchmetrics", "to 1e-6 of the value")
def test_gaussian_ssim_and_psnr_agree_with_torchmetrics(trio):
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.image import peak_signal_noise_ratio as tm_psnr
    from torchmetrics.functional.image import structural_similarity_index_measure as tm_ssim

    a, b, _ = trio
    ta, tb = (torch.from_numpy(images.astype(np.float64))[:, None] for images in (a, b))
    # torchmetrics averages over the reflected border too; within it both compute the same map
    _, field = tm_ssim(ta, tb, data_range=1.0, reduction="none", return_full_image=True)
    expected = field[:, 0, 5:-5, 5:-5].mean((1, 2)).numpy()
    np.testing.assert_allclose(paired.ssim_gaussian(a, b)[0], expected, atol=1e-9)
    mask = np.zeros(a.shape, bool)
    mask[:, 6:30, 9:] = True
    mask[:, :, -5:] = False
    expected = [one[0].numpy()[inside].mean() for one, inside in zip(field, mask, strict=True)]
    np.testing.assert_allclose(paired.ssim_gaussian(a, b, mask)[1], expected, atol=1e-9)
    expected = tm_psnr(ta, tb, data_range=1.0, reduction="none", dim=(1, 2, 3)).numpy()
    # it takes the logarithm's base in single precision
    np.testing.assert_allclose(paired.psnr(paired.mse(a, b), 1.0), expected, rtol=1e-6)


@pytest.mark.reference("MSE (paper, standard)", "scikit-image", "to 1e-6 of the value")
@pytest.mark.reference("PSNR (paper)", "scikit-image", "to 1e-6 of the value")
@pytest.mark.reference("MI (paper)", "scikit-image", "to the last bit")
def test_what_the_paper_has_agrees_with_scikit_image(trio):
    a, b, source = trio
    scores = paired.score_images(a, b, source)
    for index, (x, y) in enumerate(zip(paired.to_8bit(a), paired.to_8bit(b), strict=True)):
        assert scores["paper.mse"][index] == pytest.approx(mean_squared_error(y, x))
        assert scores["standard.mse"][index] == pytest.approx(mean_squared_error(b[index], a[index]))
        assert scores["paper.psnr"][index] == pytest.approx(peak_signal_noise_ratio(y, x, data_range=255))
        assert scores["paper.mi"][index] == np.clip(normalized_mutual_information(x, y, bins=100), 1, 2)


@pytest.mark.parametrize("bins", [7, 100])
def test_nmi_is_that_of_scikit_image_to_the_last_bit(bins):
    rng = np.random.default_rng(0)
    for size in (11, 32, 64, 97):
        x = rng.integers(0, 256, (size, size), np.uint8)
        y = x // 3 + rng.integers(0, 9, x.shape, np.uint8)
        x[x < 100] = 0  # as much background as a head has
        for other in (y, 255 - y, x, np.full_like(x, 7)):
            expected = normalized_mutual_information(x, other, bins=bins)
            assert paired.normalized_mutual_information(x, other, bins) == expected


@pytest.mark.reference("MI, NMI (standard)", "scikit-learn, in the foreground", "to 1e-6 of the value")
def test_mutual_information_agrees_with_scikit_learn_in_the_foreground(trio):
    a, b, source = trio
    mask = paired.foreground(b, source)
    assert 0.5 < mask.mean() < 0.95
    mi, nmi = paired.mutual_information(a, b, mask)
    for index, inside in enumerate(mask):
        bins = [np.minimum(np.floor(images[index][inside].astype(np.float64) * 64), 63) for images in (a, b)]
        shared, own = mutual_info_score(*bins), [mutual_info_score(x, x) for x in bins]
        assert mi[index] == pytest.approx(shared)
        assert nmi[index] == pytest.approx(sum(own) / (sum(own) - shared))


def test_foreground_means_leave_the_background_out(trio):
    a, b, source = trio
    scores, mask = paired.score_images(a, b, source), paired.foreground(b, source)
    inside = np.square(a[0].astype(np.float64) - b[0])[mask[0]].mean()
    assert scores["standard.psnr_fg"][0] == pytest.approx(-10 * np.log10(inside))
    spoiled = np.where(mask, a, 1 - a).astype(np.float32)
    again = paired.score_images(spoiled, b, source)
    np.testing.assert_allclose(again["standard.psnr_fg"], scores["standard.psnr_fg"])
    assert (again["standard.psnr"] < scores["standard.psnr"]).all()


def test_foreground_fills_holes_and_ignores_faint_background():
    source = np.zeros((1, 32, 32), np.float32)
    source[:, 5:27, 5:27] = 0.8
    source[:, 12:20, 12:20] = 0.01  # dark inside
    source[:, :2] = 0.04  # background noise
    assert paired.foreground(source, source).sum() == 22 * 22


@pytest.mark.fault(
    "metrics and statistics",
    "identical images",
    "every metric has its best value, PSNR 100 dB",
)
def test_a_perfect_translation_has_every_best_value():
    target = smooth_images()
    scores = paired.score_images(target, target, smooth_images(seed=5))
    best = {"paper.mi": 2.0, "standard.nmi": 2.0, "paper.mse": 0.0, "standard.mse": 0.0}
    best |= {name: PSNR_CAP for name in PAIRED if "psnr" in name}
    best |= {name: 1.0 for name in PAIRED if "ssim" in name and not name.endswith("src")}
    for name, value in best.items():
        np.testing.assert_allclose(scores[name], value, atol=1e-9, err_msg=name)


def test_opposite_contrast_is_negative_in_the_papers_ssim_only_slightly_in_the_standard():
    target = smooth_images()
    inverted = ((1 - target) * (target > 0)).astype(np.float32)
    scores = paired.score_images(inverted, target, inverted)
    assert (scores["paper.ssim_tar"] < 0).all()
    np.testing.assert_allclose(scores["paper.ssim_src"], 1)


@pytest.mark.fault(
    "metrics and statistics",
    "constant images, as translation, target or source",
    "finite values within the bounds",
)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("which", ["target", "translation", "target translation", "source target translation"])
@pytest.mark.filterwarnings("error")
def test_constant_images_give_finite_scores_within_bounds(level, which):
    constant, other = np.full((2, 16, 16), level, np.float32), smooth_images(2, 16)
    images = [constant if name in which.split() else other for name in ("translation", "target", "source")]
    for name, values in paired.score_images(*images).items():
        low, high = METRICS[name].bounds
        assert values.dtype == np.float64
        assert values.shape == (2,)
        assert np.isfinite(values).all(), name
        assert (values >= (low if low is not None else -np.inf)).all(), name
        assert (values <= (high if high is not None else np.inf) + 1e-9).all(), name


def test_one_grey_level_of_error_lies_below_the_cap():
    target = np.zeros((1, 128, 128), np.float32)
    off = target.copy()
    off[0, 0, 0] = 1 / 255
    expected = 10 * np.log10(255**2 * 128**2)
    assert paired.score_images(off, target, target)["paper.psnr"][0] == pytest.approx(expected)
    assert expected < PSNR_CAP


def refused(case):
    return pytest.mark.fault("metrics and statistics", case, "one line; nothing is scored")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(
            np.full((2, 16, 16), np.nan, np.float32),
            "translation has values that are not finite",
            marks=refused("NaN in an image"),
        ),
        pytest.param(
            np.full((2, 16, 16), 255, np.float32),
            "outside",
            marks=refused("images on another scale, whose range would have to be guessed"),
        ),
        (np.full((2, 16, 16), 1.5, np.float32), "outside"),
        pytest.param(np.zeros((2, 16, 17), np.float32), "shape", marks=refused("images of different shapes")),
        (np.zeros((1, 16, 16), np.float32), "shape"),
        (np.full((2, 16, 16), np.inf, np.float32), "translation has values that are not finite"),
        (np.full((2, 16, 16), -0.01, np.float32), "outside"),
    ],
)
def test_what_cannot_be_scored_is_refused(bad, message):
    good = np.zeros((2, 16, 16), np.float32)
    with pytest.raises(UserError, match=message):
        paired.score_images(bad, good, good)


def test_no_images_are_no_score():
    none = np.zeros((0, 16, 16), np.float32)
    with pytest.raises(UserError, match="there are no images"):
        paired.score_images(none, none, none)


def test_images_smaller_than_the_window_are_refused():
    tiny = np.zeros((2, 8, 8), np.float32)
    with pytest.raises(UserError, match="too small"):
        paired.score_images(tiny, tiny, tiny)


def test_scores_of_an_image_do_not_depend_on_its_neighbours(trio):
    whole = paired.score_images(*trio)
    single = paired.score_images(*(images[2:3] for images in trio))
    for name in PAIRED:
        assert whole[name][2] == single[name][0]


def test_every_metric_says_what_it_is():
    labels = [(metric.family, metric.label) for metric in METRICS.values()]
    assert len(set(labels)) == len(labels)
    for metric in METRICS.values():
        assert len(metric.definition) > 30
        assert metric.family in ("paper", "standard")
    published = [metric.published for metric in METRICS.values() if metric.published]
    assert published == ["ssim_tar", "ssim_src", "mse", "mi", "psnr", "fid"]

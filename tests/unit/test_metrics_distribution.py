"""Distances between sets: closed forms, the matrix square root, and what happens without weights."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter

from xmodbench.errors import UserError
from xmodbench.metrics import distribution, weights
from xmodbench.metrics.distribution import frechet_distance
from xmodbench.metrics.registry import DISTANCES


def by_matrix_root(a, b):
    """The textbook formula, with the square root of the product of covariances."""
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(s1 @ s2).real
    return np.square(a.mean(0) - b.mean(0)).sum() + np.trace(s1 + s2 - 2 * root)


@pytest.mark.reference(
    "Fréchet distance (FID, HOG)", "the textbook formula with SciPy's matrix root", "to 1e-6 of the value"
)
@pytest.mark.parametrize(("n", "m"), [(60, 80), (60, 12), (200, 60)])
def test_frechet_distance_is_the_textbook_formula(n, m):
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((20, 20))
    a, b = rng.standard_normal((n, 20)) @ mixing, 0.5 + rng.standard_normal((m, 20))
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-6)


@pytest.mark.reference("Fréchet distance (FID, HOG)", "pytorch-fid", "to 1e-6 of the value")
@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")  # of SciPy's root, by pytorch-fid
def test_frechet_distance_is_pytorch_fids():
    from pytorch_fid.fid_score import calculate_frechet_distance

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((90, 20)) @ rng.standard_normal((20, 20)), 0.5 + rng.standard_normal((70, 20))
    of_both = [(x.mean(0), np.cov(x, rowvar=False)) for x in (a, b)]
    assert frechet_distance(a, b) == pytest.approx(calculate_frechet_distance(*of_both[0], *of_both[1]), rel=1e-6)


@pytest.mark.fault(
    "metrics and statistics",
    "covariances that are singular, with fewer images than features",
    "the distance that the closed form gives",
)
def test_frechet_distance_of_scaled_and_shifted_samples_has_a_closed_form():
    a = np.random.default_rng(1).standard_normal((30, 50))  # fewer images than features
    expected = 3.0**2 * 50 + (2 - 1) ** 2 * np.trace(np.cov(a, rowvar=False))
    shifted = 2 * (a - a.mean(0)) + a.mean(0) + 3.0
    assert frechet_distance(a, shifted) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_a_set_with_itself_in_another_order_is_zero():
    a = np.random.default_rng(2).standard_normal((25, 300))
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-9)


@pytest.mark.fault(
    "metrics and statistics",
    "features without variance",
    "the distance of the means",
)
def test_constant_features_are_no_trouble_and_one_image_is_refused():
    assert frechet_distance(np.zeros((3, 4)), np.ones((5, 4))) == pytest.approx(4)
    with pytest.raises(ValueError, match="two images"):
        frechet_distance(np.zeros((1, 4)), np.zeros((5, 4)))


def images(n: int, seed: int, blur: float = 2.0, size: int = 64) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((n, size, size)), (0, blur, blur))
    return np.clip(0.5 + 0.2 * field / field.std(), 0, 1).astype(np.float32)


@pytest.mark.parametrize("size", [16, 64, 70, 128])
def test_hog_features_have_one_length_and_two_equal_parts(size):
    features = distribution.hog_features(images(2, 0, size=size))
    assert features.shape == (2, 1600)
    np.testing.assert_allclose(np.square(features[:, 1568:]).sum(1), 1)
    np.testing.assert_allclose(np.square(features[:, :1568]).sum(1), 1, atol=0.05)


def test_hog_features_of_a_blank_image_are_finite():
    assert np.isfinite(distribution.hog_features(np.zeros((1, 64, 64), np.float32))).all()


def test_the_proxy_sees_blur_and_gives_the_distance_of_real_sets(monkeypatch):
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    target, train = images(40, 0), images(90, 1)
    same = distribution.distances(target[::-1], target, train, None)["standard.frechet_hog"]
    sharp = distribution.distances(images(40, 2), target, train, None)["standard.frechet_hog"]
    blurred = distribution.distances(images(40, 2, blur=5.0), target, train, None)["standard.frechet_hog"]
    assert same["value"] == pytest.approx(0, abs=1e-9)
    assert sharp["value"] == pytest.approx(sharp["real_to_real"], rel=0.2)
    assert blurred["value"] > 1.5 * sharp["value"]


def test_without_weights_fid_is_null_with_a_reason_and_torch_is_not_imported():
    code = (
        "import sys, numpy as np; from xmodbench.metrics.distribution import distances\n"
        "x = np.random.default_rng(0).random((4, 32, 32), dtype='f4'); found = distances(x, x, x, None)\n"
        "assert {found[name]['value'] for name in ('paper.fid', 'standard.fid_inf', 'standard.kid')} == {None}\n"
        "assert 'FID_WEIGHTS' in found['paper.fid']['reason'], found\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": ""})


@pytest.mark.fault(
    "metrics and statistics",
    "one image in a set",
    "no distance, and the reason in its place",
)
def test_too_few_images_give_reasons_not_numbers():
    found = distribution.distances(images(1, 0), images(1, 1), images(5, 2), None)
    assert {entry["value"] for entry in found.values()} == {None}
    assert all("two" in entry["reason"] for entry in found.values())


@pytest.mark.fault(
    "metrics and statistics",
    "a distance, which is no mean over images",
    "an interval from the distances without each subject in turn",
)
def test_each_subject_is_left_out_in_turn_with_its_translations_and_targets():
    made, target, train = images(6, 0), images(6, 1), images(8, 2)
    subjects = ["b", "a", "b", "c", "a", "c"]
    found = distribution.distances(made, target, train, None, subjects)["standard.frechet_hog"]
    features = [distribution.hog_features(x) for x in (made, target)]
    for subject, value in zip("abc", found["without"], strict=True):
        rows = [i for i, name in enumerate(subjects) if name != subject]
        assert value == frechet_distance(*(x[rows] for x in features))
    for few in (None, ["a"] * 6):
        assert "without" not in distribution.distances(made, target, train, None, few)["standard.frechet_hog"]
    assert (
        "without" not in distribution.distances(made[:2], target[:2], train, None, ["a", "b"])["standard.frechet_hog"]
    )


def test_of_many_subjects_some_are_left_out_together():
    kept = list(distribution._without_each([f"{i:03d}" for i in range(120)]))
    assert len(kept) == distribution.MOST_GROUPS
    assert {len(rows) for rows in kept} == {117, 118}


def test_fid_infinity_takes_most_of_the_bias_away():
    rng = np.random.default_rng(0)
    pairs = rng.standard_normal((30, 2, 60, 6))  # of one distribution: the true distance is 0
    plain, beyond = (np.mean([of(*pair) for pair in pairs]) for of in (frechet_distance, distribution.fid_infinity))
    assert plain > 0.3
    assert abs(beyond) < 0.3 * plain
    a = rng.standard_normal((20, 4))
    assert distribution.fid_infinity(a, a.copy()) == pytest.approx(0, abs=1e-9), "rows that belong together stay so"
    assert distribution.fid_infinity(a, a[::-1]) == distribution.fid_infinity(a, a[::-1])


def test_with_weights_there_are_fid_its_extrapolation_and_kid(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "fid_weights", lambda setting: tmp_path / "weights.pth")
    columns = np.random.default_rng(0).standard_normal((64 * 64, 8))
    seen = lambda x, path: x.reshape(len(x), -1) @ columns / 64  # noqa: E731
    monkeypatch.setattr("xmodbench.metrics.inception.inception_features", seen)
    made, target, train = images(12, 0), images(12, 1), images(12, 2)
    found = distribution.distances(made, target, train, "weights.pth", list("aabbccddeeff"))
    assert set(found) == set(DISTANCES)
    fid, beyond, kid = (found[name] for name in ("paper.fid", "standard.fid_inf", "standard.kid"))
    assert beyond["value"] < fid["value"], "the bias is upwards"
    assert beyond["value"] == distribution.fid_infinity(seen(made, None), seen(target, None))
    assert (len(fid["without"]), len(kid["without"])) == (6, 6) and "without" not in beyond
    assert all(entry["real_to_real"] is not None for entry in (fid, beyond, kid))
    few = distribution.distances(made[:3], target[:3], train, "weights.pth", list("abc"))
    assert few["paper.fid"]["value"] is not None and few["standard.fid_inf"]["value"] is None


@pytest.mark.reference(
    "KID over all pairs (its jackknife)", "the unbiased squared MMD, summed by hand", "to 1e-6 of the value"
)
def test_the_squared_mmd_is_what_kid_estimates():
    a, b = np.random.default_rng(3).standard_normal((2, 40, 6))
    assert distribution.squared_mmd(a, b) == pytest.approx(distribution.kernel_distance(a, b), abs=0.1)
    by_hand = sum(((x @ y / 6 + 1) ** 3) for x in a for y in b) / 1600
    within = [sum((x[i] @ x[j] / 6 + 1) ** 3 for i in range(40) for j in range(40) if i != j) / 1560 for x in (a, b)]
    assert distribution.squared_mmd(a, b) == pytest.approx(sum(within) - 2 * by_hand)


# -- the weights ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder served over HTTP that has the weights' file, with a checksum of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / weights.NAME).write_bytes(b"weights")
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(b"weights").hexdigest())
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *args: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/{weights.NAME}"
    server.shutdown()
    server.server_close()


def test_weights_are_downloaded_once_and_kept(served):
    folder, url = served
    path = weights.fid_weights(url)
    assert path.read_bytes() == b"weights"
    assert path.parent == weights.cache_dir()
    (folder / weights.NAME).unlink()
    assert weights.fid_weights(url) == path


def test_a_download_that_is_not_the_weights_is_refused_and_leaves_nothing(served):
    folder, url = served
    (folder / weights.NAME).write_bytes(b"something else")
    with pytest.raises(UserError, match="not pytorch-fid's Inception weights"):
        weights.fid_weights(url)
    assert list(weights.cache_dir().iterdir()) == []


def test_a_damaged_cached_file_is_fetched_again(served):
    _, url = served
    weights.cache_dir().mkdir(parents=True)
    (weights.cache_dir() / weights.NAME).write_bytes(b"damaged")
    assert weights.fid_weights(url).read_bytes() == b"weights"


def test_a_missing_page_is_a_reason(served):
    _, url = served
    with pytest.raises(weights.WeightsUnavailable, match="could not be downloaded"):
        weights.fid_weights(url + ".gone")


def test_a_path_may_come_from_the_environment_and_must_be_right(served, monkeypatch, tmp_path):
    folder, _ = served
    monkeypatch.setenv(weights.VARIABLE, str(folder / weights.NAME))
    assert weights.fid_weights(None) == folder / weights.NAME
    with pytest.raises(UserError, match="no such file"):
        weights.fid_weights(str(tmp_path / "absent.pth"))
    # where a config has the address, as the shipped ones have, a copy at hand is not fetched again
    monkeypatch.setenv(weights.VARIABLE, str(folder / weights.NAME))
    assert weights.fid_weights("http://127.0.0.1:9/nobody") == folder / weights.NAME
    assert not weights.cache_dir().exists()
    (tmp_path / "other.pth").write_bytes(b"?")
    with pytest.raises(UserError, match="not pytorch-fid's Inception weights"):
        weights.fid_weights(str(tmp_path / "other.pth"))


@pytest.mark.reference(
    "KID (torchmetrics' class)", "3000 subsets of the unbiased polynomial MMD", "within their sampling error"
)
def test_kid_is_the_unbiased_polynomial_mmd_where_the_subset_is_fixed():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 20, 6))
    kernel = lambda x, y: (x @ y.T / 6 + 1) ** 3  # noqa: E731
    values = []
    for _ in range(3000):
        x, y = (s[rng.permutation(20)[:10]] for s in (a, b))
        off = [(kernel(s, s).sum() - np.trace(kernel(s, s))) / 90 for s in (x, y)]
        values.append(sum(off) - 2 * kernel(x, y).mean())
    spread = np.std(values) / np.sqrt(distribution.KID_SUBSETS)
    assert distribution.kernel_distance(a, b) == pytest.approx(np.mean(values), abs=5 * spread)
    assert distribution.kernel_distance(a, b) == distribution.kernel_distance(a, b)


@pytest.mark.reference(
    "Inception features (FID, KID)", "pytorch-fid's network with the same weights", "to 1e-4 of the value"
)
def test_inception_features_come_from_the_file_given(tmp_path):
    torch = pytest.importorskip("torch")
    import pytorch_fid.inception as reference

    from xmodbench.metrics.inception import inception_features

    torch.manual_seed(0)
    path = tmp_path / "random.pth"
    saved = {}

    def keep(*_args, **_kwargs):  # what pytorch-fid builds asks for weights: give it its own random ones
        return saved["state"]

    shell = reference._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    for name, block in {
        "Mixed_5b": reference.FIDInceptionA(192, 32),
        "Mixed_5c": reference.FIDInceptionA(256, 64),
        "Mixed_5d": reference.FIDInceptionA(288, 64),
        "Mixed_6b": reference.FIDInceptionC(768, 128),
        "Mixed_6c": reference.FIDInceptionC(768, 160),
        "Mixed_6d": reference.FIDInceptionC(768, 160),
        "Mixed_6e": reference.FIDInceptionC(768, 192),
        "Mixed_7b": reference.FIDInceptionE_1(1280),
        "Mixed_7c": reference.FIDInceptionE_2(2048),
    }.items():
        setattr(shell, name, block)
    saved["state"] = shell.state_dict()
    torch.save(saved["state"], path)
    grey = images(2, 0, size=32)
    features = inception_features(grey, path)
    original = reference.load_state_dict_from_url
    try:
        reference.load_state_dict_from_url = keep
        net = reference.InceptionV3([3]).eval()
    finally:
        reference.load_state_dict_from_url = original
    rgb = torch.from_numpy(np.round(grey * 255) / 255)[:, None].repeat(1, 3, 1, 1).float()
    with torch.inference_mode():
        expected = net(rgb)[0][:, :, 0, 0].numpy()
    assert features.shape == (2, 2048)
    assert features.dtype == np.float64
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)

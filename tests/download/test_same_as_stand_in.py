"""The whole way from archive to slices by the real plugins gives what the stand-ins' own volumes give."""

import hashlib
import sys

import numpy as np
import pytest

from tests.download.archives import CASES, HEADS, IXI, PATIENTS, RECORD, real_archives
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress
from xmodbench.store import SliceStore

QUIET, SEED = Progress(quiet=True), 1
COMMON = {"image_size": 48, "split": {"order": "sorted", "n_test": 1}}
# folder of the stand-in's volumes, size of its voxels, names there, and what the two plugins do not have in common
SETS = {
    "ixi": ("heads", 4, HEADS, {"slices": {"count": 5, "height_range": [0.3, 0.9]}}),
    "curious": ("cases", 4, CASES, {"spacing_mm": None, "axis": "stored"}),
    "goldatlas": ("pelves", 5, PATIENTS, {"spacing_mm": None}),
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Stand-ins of the three sets, and the archives made of them."""
    folder = tmp_path_factory.mktemp("simulated")
    return folder, real_archives(folder)


@pytest.fixture
def archives(simulated, server, monkeypatch):
    """A server with the archives, whose digests are the published ones for the time being."""
    server.files = simulated[1]
    server.allowed = lambda path, query, headers: not path.startswith(RECORD) or query.get("token") == "good"
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "good")
    small = {f"IXI-{name}.tar": server.files[f"{IXI}/IXI-{name}.tar"] for name in ("T1", "PD")}
    facts = {name: (len(body), hashlib.md5(body).hexdigest()) for name, body in small.items()}
    monkeypatch.setattr(sys.modules[find(DATASETS, "ixi").cls.__module__], "ARCHIVES", facts)
    return server


def stores(plugin: str, raw, out, acquire: bool, **settings):
    cls = find(DATASETS, plugin).cls
    dataset = cls(cls.Config.model_validate(settings))
    if acquire:
        dataset.acquire(raw, SEED, QUIET)
    prepare_dataset(dataset, raw, out, dataset_id="same", seed=SEED, threads=1, progress=QUIET)
    return {part: SliceStore(out / part) for part in ("train", "test")}


def both(name: str, simulated, tmp_path, **settings):
    """Stores of the stand-in's own folder, and of what the real plugin fetched and unpacked."""
    folder, scale, names, own = SETS[name]
    settings = {**COMMON, **own, **settings}
    recipe = {"n_subjects": len(names), "scale": scale}
    mine = stores(f"sim_{name}", simulated[0] / folder, tmp_path / "sim", False, **settings, **recipe)
    real = stores(name, tmp_path / "raw", tmp_path / "real", True, **settings)
    return mine, real


@pytest.mark.parametrize("name", SETS)
def test_the_same_volumes_give_the_same_slices(name, archives, simulated, tmp_path):
    # registration draws its samples by the subject's name: without it nothing depends on a name
    mine, real = both(name, simulated, tmp_path, registration="none")
    for part in ("train", "test"):
        assert mine[part].modalities == real[part].modalities
        assert len(mine[part].rows) > 3
        for ours, theirs in zip(mine[part].rows, real[part].rows, strict=True):
            assert (ours["position_mm"], ours["index"], ours["affine"]) == (
                theirs["position_mm"], theirs["index"], theirs["affine"]
            )  # fmt: skip
        for modality in mine[part].modalities:
            ours, theirs = np.array(mine[part].array(modality)), np.array(real[part].array(modality))
            np.testing.assert_array_equal(ours, theirs)
            assert ours.std() > 0.05
    assert {name_ for part in real.values() for name_ in part.subjects} == set(SETS[name][2])


def test_registered_slices_differ_by_less_than_a_sampling(archives, simulated, tmp_path):
    mine, real = both("ixi", simulated, tmp_path, registration="rigid")
    for part in ("train", "test"):
        facts = [next(iter(store[part].manifest["volumes"].values())) for store in (mine, real)]
        assert all(item["registration"]["t1"]["accepted"] for item in facts)
        np.testing.assert_array_equal(mine[part].array("pd"), real[part].array("pd"))
        apart = np.abs(np.array(mine[part].array("t1")) - real[part].array("t1"))
        assert apart.mean() < 0.01
        # but it did something: without it the slices are others
    unregistered, _ = both("ixi", simulated, tmp_path / "plain", registration="none")
    moved = np.abs(np.array(unregistered["train"].array("t1")) - mine["train"].array("t1")).mean()
    assert moved > 2 * np.abs(np.array(mine["train"].array("t1")) - real["train"].array("t1")).mean()

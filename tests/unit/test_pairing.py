"""Pairs that are shifted, flipped, exchanged or of another subject are suspected of that; sound ones are not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate
from scipy.stats import rankdata

from xmodbench.data.pairing.gain import Gain, gain
from xmodbench.data.pairing.judge import judge
from xmodbench.data.pairing.subject import measure, sampled
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.plugins import DATASETS, find
from xmodbench.plugins.settings import validated
from xmodbench.store import SliceStore

SLICES = 9
SMALL = {
    "sim_ixi": {"scale": 4, "slices": {"count": 4, "height_range": [0.4, 0.8]}},
    "sim_curious": {"scale": 4, "slices": {"count": 4, "height_range": [0.4, 0.9]}},
    "sim_goldatlas": {"scale": 5, "fov_mm": 420, "slices": {"count": 4, "height_range": [0.05, 0.95]}},
}


def subjects(seed=0, count=6, size=48, slices=SLICES):
    """By name and modality, slices of heads full of blobs that reach over a few slices, in two contrasts."""
    rng, found = np.random.default_rng(seed), {}
    y, x = np.mgrid[-1 : 1 : 1j * size, -1 : 1 : 1j * size]
    for number in range(count):
        blobs = gaussian_filter(rng.standard_normal((slices + 8, size, size)), (1.5, size / 12, size / 12))[4:-4]
        # as many dark as bright ones in everybody
        blobs = (rankdata(blobs) / blobs.size).reshape(blobs.shape)
        wide, high = rng.uniform(0.65, 0.85, 2)
        inside = np.hypot(x / wide, y / high) < 1
        noise = 0.01 * rng.standard_normal((2, slices, size, size))
        t1, pd = inside * (0.2 + 0.6 * blobs + noise[0]), inside * (0.95 - 0.5 * blobs**2 + noise[1])
        found[f"sub{number:02d}"] = {"pd": pd.clip(0, 1).astype(np.float32), "t1": t1.clip(0, 1).astype(np.float32)}
    return found


def suspicions(data):
    """What is suspected, by subject."""
    found = judge([(name, measure(images)) for name, images in data.items()])
    return {name: item.suspected for name, items in found.items() for item in items if item.suspected}


def harmed(data, name, modality, harm):
    return data | {name: data[name] | {modality: harm(data[name][modality])}}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("slices", "size"), [(SLICES, 48), (3, 32), (1, 64)])
def test_sound_pairs_raise_no_suspicion(seed, slices, size):
    assert suspicions(subjects(seed, slices=slices, size=size)) == {}


HARMS = {
    "one slice off: its previous one": lambda x: np.concatenate([x[1:], x[-1:]]),
    "one slice off: its next one": lambda x: np.concatenate([x[:1], x[:-1]]),
    "one slice off: its next": lambda x: np.roll(x, 1, axis=0),
    "flipped left-right": lambda x: x[:, :, ::-1],
    "flipped up-down": lambda x: x[:, ::-1],
    "flipped left-right and up-down": lambda x: x[:, ::-1, ::-1],
    "in reverse order": lambda x: x[::-1],
    "of another place or subject": lambda x: x[[4, 7, 0, 8, 2, 5, 1, 3, 6]],
    "shares no information": np.zeros_like,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("said", HARMS)
def test_a_harmed_target_is_suspected_of_that_and_no_one_else_is(said, seed):
    found = suspicions(harmed(subjects(seed), "sub02", "t1", HARMS[said]))
    assert list(found) == ["sub02"]
    assert said in found["sub02"]


@pytest.mark.parametrize("slices", [2, 3, SLICES])
def test_a_harmed_source_is_seen_as_well_and_few_slices_suffice(slices):
    data = subjects(1, slices=slices)
    found = suspicions(harmed(data, "sub01", "pd", lambda x: np.roll(x, 1, axis=0)))
    assert list(found) == ["sub01"]
    found = suspicions(harmed(data, "sub01", "pd", lambda x: x[:, ::-1]))
    assert found == {"sub01": "t1 flipped up-down"}


@pytest.mark.parametrize("flip", [2, 1])
def test_a_flip_that_lies_turned_and_beside_is_found(flip):
    def laid_on(stack):
        turned = rotate(np.flip(stack, flip), 8, (2, 1), reshape=False, order=1)
        return np.roll(turned, (2, -3), (1, 2))

    found = suspicions(harmed(subjects(3), "sub04", "t1", laid_on))
    assert list(found) == ["sub04"]
    assert "flipped" in found["sub04"]


def test_a_small_shift_alone_is_no_flip():
    assert suspicions(harmed(subjects(3), "sub04", "t1", lambda x: np.roll(x, (1, -1), (1, 2)))) == {}


def test_a_target_beside_its_source_is_not_taken_for_another_subjects():
    found = suspicions(harmed(subjects(3), "sub04", "t1", lambda x: np.roll(x, (7, -6), (1, 2))))
    assert found == {"sub04": "t1 lies beside pd in the plane: moved, it fits better"}


def test_subjects_that_have_each_others_targets_are_named_with_whose():
    data = subjects()
    first, second = data["sub01"], data["sub04"]
    swapped = data | {"sub01": first | {"t1": second["t1"]}, "sub04": second | {"t1": first["t1"]}}
    assert suspicions(swapped) == {
        "sub01": "t1 of another subject: that of sub04 fits pd better",
        "sub04": "t1 of another subject: that of sub01 fits pd better",
    }


def test_targets_shuffled_among_all_subjects_are_all_seen():
    data = subjects()
    names = list(data)
    moved = {name: data[name] | {"t1": data[names[place - 1]]["t1"]} for place, name in enumerate(names)}
    assert set(suspicions(moved)) == set(names)


@pytest.mark.parametrize(("count", "who"), [(6, ["sub00"]), (7, ["sub01", "sub05", "sub06"]), (3, ["sub02"])])
def test_exchanged_modalities_are_told_from_those_of_the_others(count, who):
    data = subjects(count=count)
    data |= {name: {"pd": data[name]["t1"], "t1": data[name]["pd"]} for name in who}
    found = suspicions(data)
    assert list(found) == who
    assert all(text.startswith("pd and t1 exchanged") for text in found.values())


def test_a_lone_subject_is_judged_by_its_own_slices():
    data = {"only": subjects()["sub03"]}
    assert suspicions(data) == {}
    assert suspicions(harmed(data, "only", "t1", lambda x: x[:, :, ::-1])) == {"only": "t1 flipped left-right"}
    (item,) = judge([("only", measure(data["only"]))])["only"]
    assert item.facts()["others_worse"] is None and item.facts()["nearest_other"] is None


@pytest.mark.parametrize("modality", ["pd", "t1", "t2"])
def test_of_three_modalities_the_pairs_with_the_wrong_one_are_suspected(modality):
    data = {name: {**images, "t2": 1 - images["t1"]} for name, images in subjects(2).items()}
    found = judge(
        [(name, measure(images)) for name, images in harmed(data, "sub00", modality, lambda x: x[:, ::-1]).items()]
    )
    wrong = {item.pair for items in found.values() for item in items if item.suspected}
    assert wrong == {pair for pair in [("pd", "t1"), ("pd", "t2"), ("t1", "t2")] if modality in pair}


def test_the_same_image_everywhere_tells_nothing():
    """Perfectly symmetric and equal slices: flips, shifts and other subjects fit as well, no more."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    disc = np.stack([(np.hypot(x, y) < 0.7).astype(np.float32)] * 5)
    data = {f"s{n}": {"a": 0.8 * disc, "b": 0.3 * disc} for n in range(5)}
    assert suspicions(data) == {}


def test_where_slices_are_taken_apart_the_volume_between_them_counts():
    (images,) = subjects(count=1, slices=31).values()
    smooth = {name: (stack[:-2] + stack[1:-1] + stack[2:]) / 3 for name, stack in images.items()}
    kept = np.arange(2, 29, 6)

    def measured(off):
        beside = {step: smooth["t1"][kept + off + step][sampled(len(kept))] for step in (-1, 1)}
        return measure({"pd": smooth["pd"][kept], "t1": smooth["t1"][kept + off]}, {"t1": beside})

    assert judge([("only", measured(0))])["only"][0].suspected is None
    suspected = judge([("only", measured(1))])["only"][0].suspected
    assert suspected == "t1 one slice of the volume off: its previous one fits pd better"


def test_slices_that_do_not_change_have_no_say():
    assert gain(np.array([1.2, 1.4]), np.array([1.2, 1.55])) == pytest.approx(Gain(0.25, 1.0))
    assert gain(np.array([1.2, 1.4]), np.array([1.2, 1.4])) == Gain(0.0, 0.0)


def prepared(folder, name, seed, progress, spoil=None):
    """Suspicions in the manifest of a small simulated set; `spoil` changes the raw volumes first."""
    cls = find(DATASETS, name).cls
    config = {"n_subjects": 4, "image_size": 32, "split": {"n_test": 1}, **SMALL[name]}
    dataset = cls(validated(cls.Config, config, "test"))
    dataset.acquire(folder / "raw", seed, progress)
    if spoil:
        spoil(dataset.volumes(folder / "raw"))
    prepare_dataset(dataset, folder / "raw", folder / "out", dataset_id=name, seed=seed, threads=1, progress=progress)
    manifest = json.loads((folder / "out/train/manifest.json").read_text())
    assert len(manifest["volumes"]) == 4
    return {subject: item["suspected"] for subject, facts in manifest["volumes"].items() for item in facts["pairing"]}


@pytest.mark.parametrize("name", SMALL)
def test_simulated_sets_raise_no_suspicion(tmp_path, quiet, name):
    assert set(prepared(tmp_path, name, 1, quiet).values()) == {None}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
@pytest.mark.parametrize("name", SMALL)
def test_simulated_sets_of_other_seeds_raise_no_suspicion(tmp_path, quiet, name, seed):
    assert set(prepared(tmp_path, name, seed, quiet).values()) == {None}


def test_a_doubtful_subject_is_named_recorded_and_kept(tmp_path, capsys):
    """A FLAIR file whose voxels are stored the other way round than its header says."""
    import SimpleITK as sitk

    from xmodbench.progress import Progress

    def spoil(records):
        path = records[1].files["flair"]
        image = sitk.ReadImage(str(path))
        turned = sitk.GetImageFromArray(np.ascontiguousarray(sitk.GetArrayFromImage(image)[:, :, ::-1]))
        turned.CopyInformation(image)
        sitk.WriteImage(turned, str(path))

    found = prepared(tmp_path, "sim_curious", 1, Progress(), spoil)
    assert [subject for subject, suspected in found.items() if suspected] == ["Case902"]
    said = [line for line in capsys.readouterr().err.splitlines() if "pairing doubtful" in line]
    assert len(said) == 1 and f"Case902, pairing doubtful: {found['Case902']}" in said[0]
    assert "Case902" in SliceStore(tmp_path / "out/train").subjects

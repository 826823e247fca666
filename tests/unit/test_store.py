"""The slice store: what is written is what is read, and damage is named."""

import numpy as np
import pytest

from xmodbench.errors import UserError
from xmodbench.store import SliceStore, StoreWriter


def test_round_trip(tmp_path):
    images = np.linspace(0, 1, 3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    with StoreWriter(tmp_path / "s", ["t1", "pd"], (4, 5), {"dataset": "toy"}) as writer:
        for index, image in enumerate(images):
            row = {"id": f"a_{index}", "subject": "a", "site": "x", "position_mm": 2.5 * index}
            writer.add({"t1": image, "pd": 1 - image}, **row)
    store = SliceStore(tmp_path / "s")
    store.verify()
    assert store.modalities == ["pd", "t1"]
    assert store.ids == ["a_0", "a_1", "a_2"]
    np.testing.assert_array_equal(store.array("t1"), images)
    np.testing.assert_array_equal(store.array("pd"), 1 - images)
    assert not store.array("t1").flags.writeable
    # NumPy itself reads the growing header as an ordinary file
    assert np.load(tmp_path / "s" / "t1.npy").shape == (3, 4, 5)


def test_same_content_same_manifest(tmp_path, make_store):
    first = (make_store(tmp_path / "a") / "manifest.json").read_bytes()
    assert first == (make_store(tmp_path / "b") / "manifest.json").read_bytes()


def test_failure_leaves_the_old_store(tmp_path, make_store):
    make_store(tmp_path / "s", n=4)
    with pytest.raises(RuntimeError), StoreWriter(tmp_path / "s", ["t1"], (4, 4), {}) as writer:
        writer.add({"t1": np.zeros((4, 4))}, id="x", subject="x", site="", position_mm=0)
        raise RuntimeError
    assert len(SliceStore(tmp_path / "s").ids) == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.01, 1.01])
def test_bad_values_are_refused(tmp_path, value):
    with pytest.raises(UserError, match="slice x: t1"), StoreWriter(tmp_path / "s", ["t1"], (2, 2), {}) as writer:
        writer.add({"t1": np.array([[0, value], [0, 0]])}, id="x", subject="x", site="", position_mm=0)
    assert not (tmp_path / "s").exists()


def test_no_slices_and_double_ids_are_refused(tmp_path):
    with pytest.raises(UserError, match="no slice was left"), StoreWriter(tmp_path / "s", ["t1"], (2, 2), {}):
        pass
    row = {"id": "x", "subject": "x", "site": "", "position_mm": 0}
    with pytest.raises(UserError, match="two slices"), StoreWriter(tmp_path / "s", ["t1"], (2, 2), {}) as writer:
        writer.add({"t1": np.zeros((2, 2))}, **row)
        writer.add({"t1": np.zeros((2, 2))}, **row)


def test_damage_is_named(tmp_path, make_store):
    store = make_store(tmp_path / "s")
    array = store / "t1.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"t1\.npy"):
        SliceStore(store).array("t1")
    array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"t1\.npy: changed since"):
        SliceStore(store).verify()
    with pytest.raises(UserError, match="no modality 'flair'"):
        SliceStore(store).array("flair")
    (store / "manifest.json").unlink()
    with pytest.raises(UserError, match="manifest.json is missing"):
        SliceStore(store)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("manifest.json", "[]", "no manifest of a slice store"),
        (
            "manifest.json",
            '{"format": 1, "shape": [4, 4], "arrays": {}}',
            r"no manifest of a slice store \(count missing\)",
        ),
        ("slices.csv", None, r"cannot be read \(No such file or directory\)"),
        ("slices.csv", b"\xff\xfe,id", "cannot be read"),
        ("slices.csv", "id,subject\n1,2\n", "has no column site, position_mm"),
    ],
)
def test_a_damaged_store_is_named(tmp_path, make_store, file, content, said):
    path = make_store(tmp_path / "s") / file
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=f"{file}: {said}.*; prepare it again"):
        SliceStore(tmp_path / "s")

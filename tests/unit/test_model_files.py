"""What a model may hold: nothing that runs code when it is read, whatever its name."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from xmodbench.errors import UserError
from xmodbench.plugins.model_files import check_saved


def test_numbers_and_text_pass(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "facts.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "empty").touch()
    (tmp_path / "one byte").write_bytes(b"\x80")
    np.save(tmp_path / "a.npy", np.zeros((3, 4), np.float32))
    np.save(tmp_path / "b.npy", np.zeros(2, [("x", "f4"), ("y", "U3")]))
    np.savez_compressed(tmp_path / "c.npz", a=np.zeros(3), b=np.array(["O"]))
    save_file({"w": np.ones(3, np.float32)}, tmp_path / "w.safetensors")
    check_saved(tmp_path)


def zipped(path, name):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, pickle.dumps([1]))


@pytest.mark.parametrize("suffix", [".pt", ".PTH", ".pkl", ".ckpt", ".joblib", ".bin"])
def test_names_of_pickles_are_refused(tmp_path, suffix):
    (tmp_path / f"w{suffix}").write_text("text")
    with pytest.raises(UserError, match=f"model: w{suffix}: is a pickle by its name.*; save tensors with safetensors"):
        check_saved(tmp_path)


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        *((lambda path, p=p: path.write_bytes(pickle.dumps([1], p)), "is a pickle, which runs") for p in (2, 3, 4, 5)),
        (lambda path: np.save(path.open("wb"), np.array([{}])), "is an array of objects"),
        (lambda path: np.save(path.open("wb"), np.zeros(2, [("x", "f4"), ("y", "O")])), "is an array of objects"),
        (lambda path: np.savez(path.open("wb"), a=np.zeros(2), b=np.array([None])), r"holds a pickle \(b.npy\)"),
        (lambda path: zipped(path, "archive/data.pkl"), "holds a pickle"),
        (lambda path: zipped(path, "archive/weights"), "holds a pickle"),
    ],
)
def test_pickles_are_refused_by_what_they_hold(tmp_path, write, expected):
    write(tmp_path / "weights")
    with pytest.raises(UserError, match=f"^model: weights: {expected}"):
        check_saved(tmp_path)


def test_links_are_refused(tmp_path):
    (tmp_path / "w").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="model: w: is a link or no regular file; save plain files"):
        check_saved(tmp_path)

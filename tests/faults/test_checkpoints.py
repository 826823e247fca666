"""Models that are damaged, hostile or of another network are refused with one line that names the file."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.gan import made
from tests.plugins import job_of
from tests.stylegan2 import run_in, tiny
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.gan.plugin import Translator
from xmodbench.learning.stylegan2.model import Model
from xmodbench.learning.stylegan2.perceptual import VggFeatures, read_vgg16
from xmodbench.learning.stylegan2.settings import InversionSettings
from xmodbench.plugins import METHODS, find
from xmodbench.stages.given import model_sha256
from xmodbench.stages.train import train
from xmodbench.stages.translate import read_model_record, translate

fault = pytest.mark.fault
SDEDIT = find(METHODS, "sdedit").cls.Config
GAN = made("pix2pix")
REFUSED = "the model is not loaded: one line with the file, what is wrong and what to do"


def save_diffusion(folder):
    DiffusionModel.new(SDEDIT(preset="short", width=8).resolved(), 1).save(folder)


def save_gan(folder):
    settings = GAN.settings.resolved()
    Translator(settings, GAN.generator(settings)).save(folder)


def save_stylegan(folder):
    Model.new(tiny().resolved(16)).save(folder)


FAMILIES = {
    "diffusion": (save_diffusion, lambda folder: DiffusionModel.load(folder, SDEDIT)),
    "gan": (save_gan, lambda folder: Translator.load(folder, type(GAN.settings), GAN.generator, run_in(folder))),
    "stylegan2": (save_stylegan, lambda folder: Model.load(folder, InversionSettings(), run_in(folder))),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """An untrained model of each family, and what loads it."""
    folder = tmp_path_factory.mktemp(request.param)
    save, load = FAMILIES[request.param]
    save(folder)
    load(folder)
    return folder, load


@pytest.fixture
def model(family, tmp_path):
    """A copy to spoil, with what loads it."""
    shutil.copytree(family[0], tmp_path / "model")
    return tmp_path / "model", family[1]


class Payload:
    """Leaves a file where it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def headed(header: bytes, body: bytes = b"", length: int | None = None):
    """A spoiler that writes a safetensors file by hand."""
    size = len(header) if length is None else length
    return lambda path: path.write_bytes(size.to_bytes(8, "little") + header + body)


def tensors_at(*places: tuple[int, int], shape=(2,), size=16):
    """The same with one float32 tensor at each place (begin, end) of a body of `size` bytes."""
    entries = {f"t{n}": {"dtype": "F32", "shape": shape, "data_offsets": place} for n, place in enumerate(places)}
    return headed(json.dumps(entries).encode(), bytes(size))


def changed(change):
    """A spoiler that changes the tensors of a file."""

    def spoil(path):
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return spoil


def first_float(tensors):
    return next(name for name, tensor in sorted(tensors.items()) if tensor.is_floating_point() and tensor.dim() > 1)


def fill(value):
    return changed(lambda tensors: tensors[first_float(tensors)].view(-1)[3:5].fill_(value))


def flatten(tensors):
    tensors[first_float(tensors)] = tensors[first_float(tensors)].flatten()


BOMB = "the header of the weights lies: its own length, offsets that overlap or leave the file, impossible shapes"
NAN, TRUNCATED = "weights are NaN or infinite", "weights are truncated, empty or missing"
OTHER = "the weights are those of another architecture (other names)"
PICKLE = "a pickle with a payload stands in place of the weights"
SPOILERS = {
    "half": (TRUNCATED, lambda path: path.write_bytes(path.read_bytes()[:-100]), "cannot be read"),
    "empty": (TRUNCATED, lambda path: path.write_bytes(b""), "cannot be read"),
    "missing": (TRUNCATED, lambda path: path.unlink(), "cannot be read"),
    "endless header": (BOMB, headed(b"{}", length=2**62), "cannot be read"),
    "large header": (BOMB, headed(b"{}", length=150 << 20), "cannot be read"),
    "longer header than file": (BOMB, headed(b"{}", length=9000), "cannot be read"),
    "overlap": (BOMB, tensors_at((0, 8), (4, 12)), "cannot be read"),
    "hole": (BOMB, tensors_at((0, 8), (12, 20)), "cannot be read"),
    "beyond": (BOMB, tensors_at((0, 8), (8, 4000)), "cannot be read"),
    "backwards": (BOMB, tensors_at((8, 0)), "cannot be read"),
    "impossible shape": (BOMB, tensors_at((0, 8), shape=(2**40, 2**40)), "cannot be read"),
    "other names": (
        OTHER,
        changed(lambda t: t.update(other=t.pop(first_float(t)))),
        "1 missing .*, 1 unknown .'other'",
    ),
    "too few": (OTHER, changed(lambda t: t.pop(first_float(t))), "another network: 1 missing"),
    "other shape": ("the weights have other shapes than the network", changed(flatten), "another network: '.*' is \\("),
    "nan": (NAN, fill(float("nan")), "2 weights are NaN or infinite"),
    "inf": (NAN, fill(float("-inf")), "2 weights are NaN or infinite"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=fault("checkpoints", case, REFUSED)) for name, (case, _, _) in SPOILERS.items()]
)
def test_spoilt_weights_are_not_loaded(model, name):
    folder, load = model
    _, spoil, expected = SPOILERS[name]
    spoil(folder / "model.safetensors")
    with pytest.raises(UserError, match=expected) as caught:
        load(folder)
    assert str(caught.value).startswith(str(folder / "model.safetensors: "))
    assert "\n" not in str(caught.value) and "train the model again" in str(caught.value)


@fault("checkpoints", PICKLE, "refused with one line; the payload is not run")
@pytest.mark.parametrize("dump", [pickle.dump, torch.save])
def test_no_pickle_is_loaded(model, tmp_path, dump):
    folder, load = model
    with open(folder / "model.safetensors", "wb") as handle:
        dump({"weight": Payload(tmp_path / "trace")}, handle)
    with pytest.raises(UserError, match="cannot be read"):
        load(folder)
    assert not (tmp_path / "trace").exists()


@fault("checkpoints", PICKLE, "refused with one line; the payload is not run")
@pytest.mark.parametrize("name", ["vgg.pth", "vgg.safetensors"])
def test_no_pickle_is_loaded_for_features(tmp_path, name):
    torch.save({"features.0.weight": Payload(tmp_path / "trace")}, tmp_path / name)
    with pytest.raises(UserError, match="cannot be read as weights of VGG16"):
        read_vgg16(VggFeatures(), tmp_path / name, None)
    assert not (tmp_path / "trace").exists()


@fault("checkpoints", NAN, REFUSED)
def test_features_that_are_not_finite_are_refused(tmp_path):
    features = VggFeatures()
    tensors = {f"features.{name}": tensor for name, tensor in features.layers.state_dict().items()}
    tensors["features.0.bias"][1] = float("inf")
    torch.save(tensors, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=r"vgg.pth: cannot be read .* \(1 weights are NaN or infinite"):
        read_vgg16(features, tmp_path / "vgg.pth", None)


@fault("checkpoints", "a model was written by a newer version", "one line; it is left as it is")
def test_a_model_of_a_newer_format_is_refused(model):
    folder, load = model
    write_json(folder / "model.json", {**read_json(folder / "model.json"), "format": 2})
    with pytest.raises(UserError, match="model.json: a model of format 2, this xmodbench knows format 1; use the"):
        load(folder)


@fault("checkpoints", "a model's description is damaged", REFUSED)
@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"settings": 3}', '{"settings": {"presett": "short"}, "inputs": 1}']
)
def test_a_description_of_nothing_is_refused(model, text):
    folder, load = model
    (folder / "model.json").write_text(text)
    with pytest.raises(UserError, match=r"model\.json"):
        load(folder)


@pytest.fixture
def finished(tmp_path):
    """The folder of a finished training."""
    folder = tmp_path / "finished"
    folder.mkdir()
    save_diffusion(folder)
    facts = {"status": "complete", "verb": "train", "target": "t1", "source": None}
    write_json(folder / "record.json", {**facts, "outputs_sha256": model_sha256(folder)})
    return folder


def flip(folder):
    """A bit that no check of values would find."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data)


HARMS = {
    "a bit": flip,
    "an option": lambda folder: (folder / "model.json").write_text((folder / "model.json").read_text() + " "),
    "a file less": lambda folder: (folder / "model.json").unlink(),
    "a file more": lambda folder: (folder / "other.safetensors").touch(),
}


@fault(
    "checkpoints",
    "a bit of a trained model has flipped, or a file was changed, added or taken away",
    "nothing is translated, or trained further, with it: one line (the SHA-256 of its record differs)",
)
@pytest.mark.parametrize("name", HARMS)
def test_a_model_that_is_not_the_one_trained_is_refused(finished, make_store, tmp_path, name):
    assert read_model_record(finished)
    (finished / ".DS_Store").touch()
    HARMS[name](finished)
    if name == "a bit":
        FAMILIES["diffusion"][1](finished)  # the weights themselves do not show it
    store, job = make_store(tmp_path / "store", n=2), job_of(tmp_path, "toy")
    with pytest.raises(UserError, match="finished: its files are not those that were trained"):
        translate(job, finished, store, "pd", "t1", tmp_path / "out", 1)
    write_json(finished / "record.json", read_json(finished / "record.json") | {"verb": "pretrain"})
    with pytest.raises(UserError, match="finished: its files are not those that were trained"):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state", finished)

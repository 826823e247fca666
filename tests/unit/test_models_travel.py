"""A model goes out as one file and comes in as the same model; what is not whole, not ours or not plain is one line."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import store_writer
from tests.models import resealed
from tests.plugins import job_of
from xmodbench.data.exported import CARD, CARD_TEXT, ExportedModel, write_zip
from xmodbench.errors import UserError
from xmodbench.files import read_json, sha256_file, write_json
from xmodbench.progress import Progress
from xmodbench.records import read_record
from xmodbench.stages.export import export
from xmodbench.stages.given import model_sha256
from xmodbench.stages.import_model import import_model
from xmodbench.stages.model_card_text import card_text
from xmodbench.stages.train import train
from xmodbench.stages.translate import translate

WEIGHTS = """
import json, os
from pathlib import Path
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run): self.weights = train.target.mean(0).astype(np.float32)
    def save(self, directory):
        from safetensors.numpy import save_file
        save_file({"weights": self.weights}, directory / "model.safetensors")
        (directory / "model.json").write_text("{}")
        (directory / "deep" / "snapshots").mkdir(parents=True)
        (directory / "deep" / "snapshots" / "step-1.png").write_bytes(b"\\x89PNG\\r\\n\\x1a\\n")
        (directory / "deep" / "loss.csv").write_text("step,loss\\n1,0.5\\n")
    def load(self, directory, run):
        from safetensors.numpy import load_file
        self.weights = load_file(directory / "model.safetensors")["weights"]
    def translate(self, source, generators):
        noise = np.stack([item.numpy.random(source.shape[1:], dtype=np.float32) for item in generators])
        return (source + noise + self.weights) / 3
"""
QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A working folder with a plugin, stores, a trained model and that exported."""
    folder = tmp_path_factory.mktemp("made")
    store_writer(folder / "data" / "train")
    store_writer(folder / "data" / "test", seed=1)
    job = job_of(folder, "toy", WEIGHTS)
    train(job, folder / "data" / "train", "t1", None, folder / "model", folder / "state")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where the plugin is
        (folder / "sha256").write_text(export(folder / "model", folder / "t1.zip"))
    return folder


@pytest.fixture
def elsewhere(made, tmp_path, monkeypatch) -> Path:
    """Another working folder, with the plugin but without the data."""
    shutil.copytree(made / "methods", tmp_path / "methods")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_same_bits_arrive(made, elsewhere):
    import_model(made / "t1.zip", elsewhere / "came", QUIET)
    for name in ("model.safetensors", "model.json", "deep/loss.csv"):
        assert (elsewhere / "came" / name).read_bytes() == (made / "model" / name).read_bytes()
    images = []
    for model, out in ((made / "model", elsewhere / "a"), (elsewhere / "came", elsewhere / "b")):
        translate(job_of(elsewhere, "toy", WEIGHTS), model, made / "data" / "test", "pd", "t1", out, 2)
        images.append((out / "t1.npy").read_bytes())
    assert images[0] == images[1]
    record = read_record(elsewhere / "came")
    assert record["imported"] == {"file": "t1.zip", "sha256": sha256_file(made / "t1.zip"), "other_code": False}
    assert record["verb"] == "train" and record["seed"] == 5 and record["shape"] == [16, 16]


def test_equal_models_make_equal_bytes_wherever_they_lie(made, elsewhere):
    assert (made / "sha256").read_text() == sha256_file(made / "t1.zip")
    shutil.copytree(made / "model", elsewhere / "other" / "place")
    os.utime(elsewhere / "other" / "place" / "model.json", (1, 1))
    export(elsewhere / "other" / "place", elsewhere / "again.zip")
    import_model(made / "t1.zip", elsewhere / "came", QUIET)
    export(elsewhere / "came", elsewhere / "passed-on.zip")
    with pytest.raises(UserError, match="keeps the card that it came with"):
        export(elsewhere / "came", elsewhere / "said.zip", licence="mine")
    for name in ("again.zip", "passed-on.zip"):
        assert (elsewhere / name).read_bytes() == (made / "t1.zip").read_bytes(), name


def test_pictures_of_patients_and_names_stay(made, elsewhere):
    names = zipfile.ZipFile(made / "t1.zip").namelist()
    assert names == [CARD_TEXT, CARD, "record.json", "deep/loss.csv", "model.json", "model.safetensors"]
    export(made / "model", elsewhere / "whole.zip", pictures=True)
    import_model(elsewhere / "whole.zip", elsewhere / "whole", QUIET)
    assert (elsewhere / "whole" / "deep" / "snapshots" / "step-1.png").is_file()
    model = elsewhere / "named"
    shutil.copytree(made / "model", model)
    record = json.loads((model / "record.json").read_text())
    record |= {"source_ids": ["Jane_Doe_001"], "looked_for": ["/home/jane"]}
    split = {"image_size": 16, "split": {"test_subjects": ["Jane_Doe"]}, "patterns": {"t1": "Doe/{subject}"}}
    record["prepared"]["settings"] = {**split, "exclude": {"John": "moved"}}
    (model / "record.json").write_text(json.dumps(record))
    export(model, elsewhere / "named.zip")
    text = (elsewhere / "named.zip").read_bytes()
    assert b"Doe" not in text and b"jane" not in text and b"John" not in text and b'"image_size": 16' in text


def test_the_card_says_what_it_is(made):
    with zipfile.ZipFile(made / "t1.zip") as file:
        card, text = json.loads(file.read(CARD)), file.read(CARD_TEXT).decode()
    assert card["target"] == "t1" and card["source"] is None and card["supervision"] == "zero-shot"
    assert card["plugin"]["id"] == "toy" and len(card["plugin"]["code_sha256"]) == 32
    assert card["data"]["slices"] == 6 and card["data"]["subjects"] == 3 and card["data"]["licence"] == "unknown"
    for heading in ("Use", "Limits", "Scores", "Data", "Training", "Settings", "Files"):
        assert f"\n## {heading}\n" in text
    assert "any source to T1" in text and "Not for diagnosis" in text and "No scores came with it" in text


SHAPED = {
    "several sources with neighbours": (
        "sources = (2, 2)\n    neighbours = 1",
        "(1, 6, 16, 16)",
        "PD and T2 to T1",
        "slices of 2 source modalities, each with the 1 below and above it",
    ),
    "volumes": ("volumes = True", "(1, 1, 2, 16, 16)", "PD to T1", "whole volumes of one source modality"),
}


@pytest.mark.parametrize("case", SHAPED)
def test_models_that_see_more_than_a_slice_travel_alike(tmp_path, monkeypatch, case):
    declares, shape, task, handed = SHAPED[case]
    monkeypatch.chdir(tmp_path)
    body = WEIGHTS.replace("ZERO_SHOT\n", f"PAIRED\n    {declares}\n").replace(
        "train.target.mean(0)", "np.mean([image[:, :1].mean(0) for image in train.target], axis=0)[None]"
    )
    body = (
        body.split("    def translate")[0]
        + f"""    def translate(self, source, generators):
        assert source[:1].shape == {shape}, source.shape
        noise = np.stack([item.numpy.random((1, *source.shape[2:]), dtype=np.float32) for item in generators])
        return (source[:, :1] + noise + self.weights.mean()) / 3
"""
    )
    for part, seed in (("train", 0), ("test", 1)):
        store_writer(tmp_path / "data" / part, seed=seed, modalities=("pd", "t1", "t2"))
    job, source = job_of(tmp_path, "shaped", body), task.split(" to ")[0].lower().replace(" and ", "+")
    train(job, tmp_path / "data/train", "t1", source, tmp_path / "model", tmp_path / "state")
    export(tmp_path / "model", tmp_path / "t1.zip")
    found = import_model(tmp_path / "t1.zip", tmp_path / "came", QUIET)
    images = []
    for model in ("model", "came"):
        translate(job, tmp_path / model, tmp_path / "data/test", source, "t1", tmp_path / f"of-{model}", 2)
        images.append((tmp_path / f"of-{model}" / "t1.npy").read_bytes())
    assert images[0] == images[1] and found.card.source == source
    text = (tmp_path / "came" / CARD_TEXT).read_text()
    assert f": {task}, trained on" in text and f"| is handed | {handed} |" in text


def test_the_card_shows_metrics_of_ones_own_with_their_definitions(made):
    with zipfile.ZipFile(made / "t1.zip") as file:
        card = json.loads(file.read(CARD))
    row = {"source": "pd", "target": "t1", "dataset": "toy", "n_images": 4, "n_subjects": 2, "unit": "", "copying": 0.5}
    row |= {"mean": 0.75, "ci_low": 0.5, "ci_high": 1.0}
    rows = [{**row, "metric": name, "definition": f"what {name} is"} for name in ("own.edges", "paper.psnr")]
    text = card_text({**card, "scores": rows})
    assert "| own.edges | 0.75 [0.5, 1] | 0.5 |" in text and "`own.edges`: what own.edges is" in text
    assert "| paper.psnr |" in text and "what paper.psnr is" not in text


def test_what_is_kept_of_the_volumes_travels_beside_it(made, elsewhere):
    shutil.copytree(made / "model", elsewhere / "model")
    (elsewhere / "model" / "preparation.json").write_text('{"plane": "axial"}')
    export(elsewhere / "model", elsewhere / "t1.zip")
    import_model(elsewhere / "t1.zip", elsewhere / "came", QUIET)
    assert (elsewhere / "came" / "preparation.json").read_text() == '{"plane": "axial"}'
    assert read_record(elsewhere / "came")["outputs_sha256"] == ExportedModel.read(made / "t1.zip").card.sha256
    export(elsewhere / "came", elsewhere / "passed-on.zip")
    assert (elsewhere / "passed-on.zip").read_bytes() == (elsewhere / "t1.zip").read_bytes()


def test_the_licence_can_be_said(made, elsewhere):
    export(made / "model", elsewhere / "t1.zip", licence="CC BY 4.0")
    assert ExportedModel.read(elsewhere / "t1.zip").card.model_extra["data"]["licence"] == "CC BY 4.0"


# -- what cannot be taken -------------------------------------------------------------------------------------------------
def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def changed(name: str, content: bytes):
    return lambda files: {**files, name: content}


def record_with(files: dict[str, bytes], **changes) -> dict[str, bytes]:
    return resealed({**files, "record.json": json.dumps(json.loads(files["record.json"]) | changes).encode()})


def flipped(files: dict[str, bytes]) -> dict[str, bytes]:
    weights = bytearray(files["model.safetensors"])
    weights[-1] ^= 1
    return {**files, "model.safetensors": bytes(weights)}


PICKLE = b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07os.path\x94."
OBJECTS = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }" + b" " * 58 + b"\n" + PICKLE
BAD = {
    "no card": (lambda files: {"model.json": b"{}"}, "no model that xmodbench exported"),
    "another's card": (changed(CARD, b'{"kind": "bundle"}'), "no card of a model that xmodbench exported"),
    "a card that is no JSON": (changed(CARD, b"{"), "not valid JSON"),
    "a card too deep": (changed(CARD, b"[" * 100_000), "not valid JSON"),
    "a card without end": (changed(CARD, b" " * (17 << 20)), "not valid JSON"),
    "a newer format": (lambda files: resealed(files, format=2), "a model of format 2, this xmodbench knows format 1"),
    "a changed card": (
        lambda files: {**files, CARD: files[CARD].replace(b'"seed": 5', b'"seed": 6')},
        "was changed since it was exported",
    ),
    "a card without a target": (lambda files: resealed(files, target=None), "target: "),
    "one byte of the weights": (flipped, "'model.safetensors' is not what its card says"),
    "a file too few": (
        lambda files: {name: it for name, it in files.items() if name != "model.json"},
        "lacks 'model.json', which its card names",
    ),
    "a file too many": (changed("more.json", b"{}"), "holds 'more.json', which its card does not name"),
    "a longer file": (changed("model.json", b"{ }"), "'model.json' has 3 bytes, its card says 2"),
    "a pickle": (lambda files: resealed({**files, "model.pt": PICKLE}), "holds 'model.pt', which may hold code"),
    "a program": (lambda files: resealed({**files, "a.py": b"1"}), "holds 'a.py', which may hold code"),
    "a pickle called text": (lambda files: resealed({**files, "a.txt": PICKLE}), "'a.txt' is no text"),
    "a pickle called weights": (
        lambda files: resealed({**files, "a.safetensors": PICKLE}),
        "'a.safetensors' is no file of tensors",
    ),
    "a pickle called picture": (lambda files: resealed({**files, "a.png": PICKLE}), "'a.png' is no PNG"),
    "pickles in an array": (lambda files: resealed({**files, "a.npy": OBJECTS}), "'a.npy' is no array of numbers"),
    "a way out": (lambda files: resealed({**files, "../a.json": b"{}"}), "holds '../a.json', which is no name"),
    "a way to the root": (lambda files: resealed({**files, "/a.json": b"{}"}), "holds '/a.json', which is no name"),
    "a way out of Windows": (lambda files: resealed({**files, "c:\\a.json": b"{}"}), "which is no name of a file"),
    "a hidden file": (lambda files: resealed({**files, ".ssh/a.json": b"{}"}), "which is no name of a file"),
    "a record of another": (lambda files: record_with(files, seed=6), "its card and its record differ in seed"),
    "a record of no training": (lambda files: record_with(files, verb="score"), "no trained model"),
    "other weights than the record's": (lambda files: resealed(flipped(files)), "its files are not those"),
}


def fault(case):
    return pytest.mark.fault("exported models", case, "one line; nothing is left of it")


@pytest.mark.parametrize("case", [pytest.param(name, marks=fault(name)) for name in BAD])
def test_what_is_not_whole_or_not_plain_is_refused(made, elsewhere, case):
    change, problem = BAD[case]
    write_zip(elsewhere / "bad.zip", change(unpacked(made / "t1.zip")))
    with pytest.raises(UserError) as found:
        import_model(elsewhere / "bad.zip", elsewhere / "came", QUIET)
    assert problem in str(found.value) and str(found.value).startswith(f"{elsewhere / 'bad.zip'}: ")
    assert sorted(path.name for path in elsewhere.iterdir()) == ["bad.zip", "methods"]


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.json", b"0" * (64 << 20))


def linked(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in resealed({**unpacked(path.with_name("t1.zip")), "a.json": b"/etc/passwd"}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name == "a.json" else 0o100644) << 16
            file.writestr(info, content)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "no such file"),
        (Path.mkdir, "is a folder"),
        (lambda path: path.write_bytes(b""), "no zip, or a damaged one"),
        (lambda path: path.write_bytes(PICKLE), "no zip, or a damaged one"),
        pytest.param(
            lambda path: path.write_bytes(path.with_name("t1.zip").read_bytes()[:-40]),
            "no zip, or a damaged one",
            marks=fault("a file that is cut off"),
        ),
        pytest.param(bomb, "would grow when it is unpacked", marks=fault("a file that grows when it is unpacked")),
        pytest.param(linked, "is a link or device", marks=fault("a link")),
    ],
)
def test_what_is_no_archive_of_ours_is_refused(made, elsewhere, make, problem):
    shutil.copy(made / "t1.zip", elsewhere)
    make(elsewhere / "bad.zip")
    with pytest.raises(UserError, match=problem):
        import_model(elsewhere / "bad.zip", elsewhere / "came", QUIET)
    assert not (elsewhere / "came").exists()


@pytest.mark.fault("exported models", "any byte changed, wherever it lies", "one line, or what comes out is the same")
def test_a_changed_byte_is_refused_or_changes_nothing(made, elsewhere):
    """Wherever it lies: in contents, names, sizes, checksums; what is of no consequence (a date) may differ."""
    whole = (made / "t1.zip").read_bytes()
    import_model(made / "t1.zip", elsewhere / "good", QUIET)
    good = {path.relative_to(elsewhere / "good"): path.read_bytes() for path in (elsewhere / "good").rglob("*.*")}
    passed = 0
    for place in np.random.default_rng(1).choice(len(whole), 60, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(place) % 8
        (elsewhere / "t1.zip").write_bytes(damaged)
        try:
            import_model(elsewhere / "t1.zip", elsewhere / "came", QUIET)
        except UserError:
            continue
        passed += 1
        for name, content in good.items():
            if name.name != "record.json":
                assert (elsewhere / "came" / name).read_bytes() == content, place
        shutil.rmtree(elsewhere / "came")
    assert passed < 10


def test_a_folder_in_use_is_left_alone(made, elsewhere):
    (elsewhere / "came").mkdir()
    (elsewhere / "came" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already; give another folder"):
        import_model(made / "t1.zip", elsewhere / "came", QUIET)
    assert (elsewhere / "came" / "mine.txt").read_text() == "mine"


@pytest.mark.fault(
    "exported models", "of other code of its plugin than is here", "said, recorded, and told in the report"
)
def test_other_code_is_said_and_recorded(made, elsewhere, capsys):
    code = elsewhere / "methods" / "toy" / "method.py"
    code.write_text(code.read_text() + "\n# another version\n")
    import_model(made / "t1.zip", elsewhere / "came", Progress())
    assert "'toy' has other code here than where it was trained" in capsys.readouterr().err
    assert read_record(elsewhere / "came")["imported"]["other_code"] is True
    shutil.rmtree(elsewhere / "methods")
    import_model(made / "t1.zip", elsewhere / "without", Progress())
    assert "no plugin here can use it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "target", "problem"),
    [
        (16, "pd", "was trained towards 't1', not 'pd'"),
        (24, "t1", r"another size than .* \(16 x 16 and 24 x 24 pixels\)"),
    ],
)
def test_other_modalities_and_sizes_are_refused(made, elsewhere, size, target, problem):
    import_model(made / "t1.zip", elsewhere / "came", QUIET)
    store = store_writer(elsewhere / "data" / "test", size=size)
    source = "t1" if target == "pd" else "pd"
    with pytest.raises(UserError, match=problem):
        translate(job_of(elsewhere, "toy", WEIGHTS), elsewhere / "came", store, source, target, elsewhere / "out", 2)


# -- what does not go out -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda model: (model / "record.json").unlink(), "no such file"),
        (lambda model: (model / "model.json").write_text("{ }"), "its files are not those that were trained"),
        (lambda model: (model / "more.json").write_text("{}"), "its files are not those that were trained"),
    ],
)
def test_only_what_was_trained_goes_out(made, elsewhere, spoil, problem):
    shutil.copytree(made / "model", elsewhere / "model")
    spoil(elsewhere / "model")
    with pytest.raises(UserError, match=problem):
        export(elsewhere / "model", elsewhere / "t1.zip")
    assert not (elsewhere / "t1.zip").exists()


@pytest.mark.parametrize(("name", "problem"), [("t1.tar", "end it in .zip"), ("model/t1.zip", "lies in the folder")])
def test_the_file_has_a_name_and_a_place_of_its_own(made, elsewhere, name, problem):
    shutil.copytree(made / "model", elsewhere / "model")
    with pytest.raises(UserError, match=problem):
        export(elsewhere / "model", elsewhere / name)


def test_a_model_of_pickles_does_not_go_out(elsewhere):
    store = store_writer(elsewhere / "train")
    train(job_of(elsewhere, "pickling", WEIGHTS), store, "t1", None, elsewhere / "model", elsewhere / "state")
    (elsewhere / "model" / "weights.pt").write_bytes(b"1")  # as before such files were refused at once
    record = read_json(elsewhere / "model" / "record.json")
    write_json(elsewhere / "model" / "record.json", record | {"outputs_sha256": model_sha256(elsewhere / "model")})
    with pytest.raises(UserError, match=r"holds 'weights.pt', which may hold code; a model is made of"):
        export(elsewhere / "model", elsewhere / "t1.zip")

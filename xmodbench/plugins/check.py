"""What every method plugin must do, as checks that run in seconds: ``xmodbench validate <method>`` and the tests.

The method is trained on a few small synthetic slices with the settings under ``smoke`` in its ``method.yaml`` (its own
defaults otherwise), and asked to translate.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from xmodbench.errors import UserError
from xmodbench.plugins import METHODS, Control, Method, Plugin, Run, TrainData, TwoPhase, find
from xmodbench.plugins.contract import checked_images, checked_names, drawn_rows
from xmodbench.plugins.settings import validated
from xmodbench.progress import Progress
from xmodbench.seeding import ImageGenerator

SIZE, N_TRAIN, N_TEST = 32, 8, 5
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib"}


def phantom(n: int, seed: int, invert: bool = False) -> np.ndarray:
    """``n`` slices [N,1,SIZE,SIZE] of a bright ellipse with a darker core on black; ``invert`` swaps the two contrasts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    images = np.zeros((n, 1, SIZE, SIZE), np.float32)
    for image, (a, b, core) in zip(images[:, 0], rng.uniform(0.35, 0.75, (n, 3)), strict=True):
        radius = (x / a) ** 2 + (y / b) ** 2
        image[radius < 1] = 0.4 if invert else 0.8
        image[radius < core**2] = 0.9 if invert else 0.3
    return images


class Subject:
    """The plugin under test and the small jobs it is put through."""

    def __init__(self, plugin: Plugin[Method], folder: Path):
        self.plugin, self.folder = plugin, folder
        self.target, self.source = phantom(N_TRAIN, 1), phantom(N_TRAIN, 1, invert=True)
        self.test_source, self.test_target = phantom(N_TEST, 2, invert=True), phantom(N_TEST, 2)
        self.ids = [f"image{index}" for index in range(N_TEST)]

    def run(self, name: str) -> Run:
        state = self.folder / f"state-{name}"
        state.mkdir(exist_ok=True)
        return Run(seed=3, device="cpu", state_dir=state, progress=Progress(quiet=True))

    def make(self, plugin: Plugin[Method] | None = None) -> Method:
        """A new object of the method (or of another plugin) with its smoke settings."""
        plugin = plugin or self.plugin
        return plugin.cls(validated(plugin.cls.Config, plugin.meta.get("smoke", {}), "method.yaml", prefix="smoke"))

    def train(self, name: str) -> Path:
        """Train and save, or have the plugin whose models this one uses do it; returns the model folder."""
        lender = self.plugin.cls.model_plugin
        method, folder = self.make(find(METHODS, lender) if lender else None), self.folder / f"model-{name}"
        folder.mkdir()
        method.fit(self.data(method), self.run(name))
        method.save(folder)
        return folder

    def data(self, method: Method) -> TrainData:
        """What the harness would hand to a method."""
        if not method.supervision.needs_source:
            return TrainData(self.target)
        rows = drawn_rows(method, N_TRAIN, seed=3)
        return TrainData(self.target, self.source if rows is None else self.source[rows])

    def translate(self, model: Path, order: list[int], batch_size: int) -> np.ndarray:
        """Load the model anew and translate the test slices in the given order and batches; returned in order of id."""
        method = self.make()
        method.load(model, self.run("translate"))
        if isinstance(method, Control):
            answer = method.answer(self.test_source, self.test_target, ["a", "a", "b", "b", "c"], 7)
            return checked_images(answer, self.test_source.shape)
        images = np.full_like(self.test_source, np.nan)
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            generators = [ImageGenerator.of(3, self.ids[index]) for index in part]
            images[part] = checked_images(method.translate(self.test_source[part], generators), images[part].shape)
        return images


def check_metadata(subject: Subject) -> None:
    """README.md stands beside the code and the settings survive JSON."""
    if not (subject.plugin.folder / "README.md").is_file():
        raise UserError("has no README.md", subject.plugin.folder)
    config = subject.plugin.cls.Config
    if config.model_validate_json(config().model_dump_json()) != config():
        raise UserError("the settings change when written as JSON and read back", subject.plugin.folder / "method.py")


def check_import(subject: Subject) -> None:
    """Importing the plugin does not import torch."""
    code = (
        "import sys; from xmodbench.plugins import METHODS, find; find(METHODS, sys.argv[1]); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, subject.plugin.id], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError("imports torch at the top", subject.plugin.folder / "method.py", "import it inside the methods")


def check_images(subject: Subject) -> None:
    """Translations have the source's shape, are finite and lie in [0, 1]; the model holds no pickles."""
    model = subject.train("images")
    subject.translate(model, list(range(N_TEST)), N_TEST)  # raises where the images break the contract
    pickles = [path.name for path in model.rglob("*") if path.suffix in PICKLES]
    if pickles:
        raise UserError(f"the model holds {', '.join(pickles)}", "save", "use safetensors, npy and JSON")


def check_intermediates(subject: Subject) -> None:
    """Images on the way, where the method names any, keep the contract too."""
    method = subject.make()
    if isinstance(method, Control) or type(method).intermediates is Method.intermediates:
        return
    method.load(subject.train("intermediates"), subject.run("translate"))
    method.translate(subject.test_source, [ImageGenerator.of(3, image_id) for image_id in subject.ids])
    for name in checked_names(method.intermediates()):
        if name not in method.intermediate_images:
            raise UserError(f"'{name}' is not there after translate", "intermediate_images")
        checked_images(method.intermediate_images[name], subject.test_source.shape)


def check_independence(subject: Subject) -> None:
    """Batch size and order change nothing, bit for bit."""
    model = subject.train("independence")
    whole = subject.translate(model, list(range(N_TEST)), N_TEST)
    for order, batch_size in (([4, 2, 0, 1, 3], 2), ([0, 1, 2, 3, 4], 1)):
        again = subject.translate(model, order, batch_size)
        if not np.array_equal(whole, again):
            worst = float(np.abs(whole - again).max())
            raise UserError(f"images change by up to {worst:.2g} with batch size and order", "translate")


def check_training_repeats(subject: Subject) -> None:
    """Two trainings with one seed give the same translations, bit for bit on a CPU."""
    first, second = (
        subject.translate(subject.train(name), list(range(N_TEST)), N_TEST) for name in ("first", "second")
    )
    if not np.array_equal(first, second):
        raise UserError("two trainings with the same seed differ", "fit", "take all randomness from run.seed")


def check_phases(subject: Subject) -> None:
    """A training in two phases ends with the same bits whether each is a job of its own or not."""
    if not issubclass(subject.plugin.cls, TwoPhase):
        return
    method, run = subject.make(), subject.run("pretrain")
    data, first, second = subject.data(method), subject.folder / "first", subject.folder / "second"
    for place in (first, second):
        place.mkdir()
    assert isinstance(method, TwoPhase)
    method.pretrain(data, run)
    method.save_pretrained(first)
    method, run = subject.make(), subject.run("fit")
    run.pretrained = first
    method.fit(data, run)
    method.save(second)
    apart, whole = (subject.translate(model, list(range(N_TEST)), N_TEST) for model in (second, subject.train("whole")))
    if not np.array_equal(apart, whole):
        raise UserError("phases in jobs of their own give another model", "fit_pretrained", "seed each by run.seed")


CHECKS: list[Callable[[Subject], None]] = [
    check_metadata,
    check_import,
    check_images,
    check_intermediates,
    check_independence,
    check_training_repeats,
    check_phases,
]


def validate_method(plugin: Plugin[Method]) -> Iterator[tuple[str, str | None]]:
    """Run all checks; yields what each requires and None, or what is wrong."""
    for check in CHECKS:
        yield str(check.__doc__), checked(check, plugin)


def checked(check: Callable[[Subject], None], plugin: Plugin[Method]) -> str | None:
    """Run one check; returns what is wrong, in one line, or None."""
    with tempfile.TemporaryDirectory(prefix="xmodbench-validate-") as folder:
        try:
            check(Subject(plugin, Path(folder)))
        except UserError as error:
            return str(error)
        except Exception as error:
            return str(UserError(f"{type(error).__name__}: {error}"))
    return None

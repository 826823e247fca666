"""Methods broken in one way each, as changes of one that keeps the contract, and what is said of them.

A change is a text and what takes its place in `SOUND`; the words are of the one line that a check has to give.
"""

from __future__ import annotations

from dataclasses import dataclass

SOUND = """
import json
import numpy as np
from xmodbench.plugins import Method, Settings, Supervision

class Config(Settings):
    steps: int = 4

class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    Config = Config
    calls = 0

    def fit(self, train, run):
        kept = run.state_dir / "state.json"
        state = json.loads(kept.read_text()) if kept.exists() else {"step": 0, "level": 0.0}
        generator = np.random.default_rng(run.seed)
        draws = generator.random(self.settings.steps)
        for step in run.progress.track(range(state["step"], self.settings.steps), "train", total=self.settings.steps):
            state = {"step": step + 1, "level": state["level"] + draws[step] * float(train.target.mean())}
            kept.write_text(json.dumps(state))
        self.level = state["level"]

    def save(self, directory):
        (directory / "level.json").write_text(json.dumps(self.level))

    def load(self, directory, run):
        self.level = json.loads((directory / "level.json").read_text())

    def translate(self, source, generators):
        noise = np.stack([item.numpy.random(source.shape[1:], dtype=np.float32) for item in generators])
        images = np.clip(0.5 * source + 0.1 * noise + 0.1 * self.level, 0, 1)
        return images.astype(np.float32)
"""
YAML = "label: Toy\nsummary: toy\nsmoke: {steps: 4}\n"

FIT = "        generator = np.random.default_rng(run.seed)\n"
TRANSLATE = "        noise = np.stack("
SAVE = '        (directory / "level.json").write_text(json.dumps(self.level))\n'
RETURN = "        return images.astype(np.float32)"


@dataclass(frozen=True)
class Broken:
    """A breach: changes of code and YAML, the words of the line, and what the words ``warn`` and ``output`` look for."""

    words: str
    change: tuple[str, str] = ("", "")
    yaml: str = YAML
    warning: str = ""
    readme: bool = True
    seconds: float = 20.0
    memory_mb: int = 2048


def fit(code: str, words: str, **options) -> Broken:
    return Broken(words, (FIT, f"{FIT}        {code}\n"), **options)


def translate(code: str, words: str, **options) -> Broken:
    return Broken(words, (TRANSLATE, f"        {code}\n{TRANSLATE}"), **options)


def save(code: str, words: str, **options) -> Broken:
    return Broken(words, (SAVE, f"{SAVE}        {code}\n"), **options)


def answer(code: str, words: str, **options) -> Broken:
    return Broken(words, (RETURN, f"        return {code}"), **options)


BROKEN = {
    # -- the images
    "shape": answer("images[:, :, 1:]", "returned shape (5, 1, 31, 32), expected (5, 1, 32, 32); return an image"),
    "channels": answer("images.repeat(3, 1)", "returned shape (5, 3, 32, 32)"),
    "squeezed": answer("images[:, 0]", "returned shape (5, 32, 32)"),
    "fewer": answer("images[:1]", "returned shape (1, 1, 32, 32)"),
    "uint8": answer("(images * 255).astype(np.uint8)", "returned uint8 values, expected float32 in [0, 1]; divide grey"),
    "complex": answer("images.astype(complex)", "returned complex128 values"),
    "list": answer("list(images)", "returned list, expected a NumPy array; return one; of a tensor"),
    "nothing": answer("None", "returned NoneType, expected a NumPy array"),
    "nan": answer("np.where(images > 0.3, np.nan, images)", "5 of 5 images hold NaN or infinite values; look for div"),
    "infinite": answer("images / 0", "5 of 5 images hold NaN or infinite"),
    "range": answer("images * 300", "expected [0, 1]; numpy.clip(images, 0, 1)"),
    "negative": answer("images - 0.5", "expected [0, 1]"),
    "constant": answer("np.full_like(images, 0.5)", "", warning="every image is constant"),
    "blind": answer("np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32), images.shape).copy()", "",
                    warning="every source gives the same image"),
    # -- randomness, batches, order, state
    "ignored": Broken("the same slices translated twice differ", ("item.numpy.random(", "np.random.default_rng().random(")),
    "global": Broken("the same slices translated twice differ", ("item.numpy.random(source.shape[1:], dtype=np.float32)",
                     "np.random.rand(*source.shape[1:]).astype(np.float32)")),
    "own seed": Broken("", ("item.numpy.random(", "np.random.default_rng(7).random("),
                       warning="translate: draws by a seed of its own, so that another seed changes nothing; take all"),
    "own global seed": Broken("", ("item.numpy.random(source.shape[1:], dtype=np.float32)",
                              "(np.random.seed(7), np.random.rand(*source.shape[1:]).astype(np.float32))[1]"),
                              warning="translate: draws by a seed of its own"),
    "own seed in fit": Broken("", ("default_rng(run.seed)", "default_rng(7)"),
                              warning="fit: draws by a seed of its own, so that another seed changes nothing; take all"),
    "handed seed": Broken("", ("item.numpy.random(", "np.random.default_rng(item.numpy.integers(99, size=3)).random(")),
    "no chance": Broken("", ("item.numpy.random(source.shape[1:], dtype=np.float32)", "np.zeros_like(source[0])")),
    "own seed that is meant": Broken("", ("item.numpy.random(", "np.random.default_rng(7).random("),
                                     yaml="label: a\nsummary: b\ndeterministic: true\nsmoke: {steps: 0}\n"),
    "said to have none": Broken("translate: another seed changes the images, though method.yaml says `deterministic: true`",
                                yaml=YAML + "deterministic: true\n"),
    "counting": translate("type(self).calls += 1; source = source * (1 / self.calls)", "translated twice differ"),
    "batch": translate("source = source / max(1, len(source))", "images change with the batch size"),
    "statistics": translate("source = source * source.mean()", "images change with the batch size"),
    "order": translate("source = source * np.linspace(0.5, 1, 5, dtype=np.float32)[:len(source), None, None, None]",
                       "images change with the"),
    "first": translate("generators = [generators[0]] * len(generators)", "images change with the"),
    "unseeded": Broken("two trainings with the same seed differ", ("default_rng(run.seed)", "default_rng()")),
    "clock": fit("import time; generator = np.random.default_rng(time.time_ns())", "two trainings with the same seed"),
    "resume": Broken("a training that was killed and continued ends otherwise",
                     ('for step in run.progress.track(range(state["step"], ', 'for step in run.progress.track(range(0, ')),
    "forgetful": Broken("a training that was killed and continued ends otherwise",
                        ("draws[step] *", "generator.random() *")),
    # -- the wall
    "writing": fit('open("/tmp/xmodbench-elsewhere", "w")', "was refused '/tmp/xmodbench-elsewhere'; it may see"),
    "own folder": fit('from pathlib import Path; (Path(__file__).parent / "x").write_text("")', "and write to its state"),
    "reading": fit('import os; os.listdir("/home")', "was refused '/home'; it may see the target's training slices"),
    "peeping": fit('import glob; glob.glob("/tmp/**/t1.npy")', "", warning="looked for what is not there for it: /tmp"),
    "network": fit('import socket; socket.create_connection(("127.0.0.1", 9))', "was refused a connection"),
    "target in place": fit("train.target[:] = 0", "writes into an array that it was handed; copy it first"),
    "source in place": translate("source *= 0.5", "writes into an array that it was handed; copy it first"),
    # -- the model
    "pickle": save('import pickle; (directory / "w").write_bytes(pickle.dumps({}))', "model: w: is a pickle, which runs"),
    "named": save('(directory / "w.pt").write_bytes(b"x")', "model: w.pt: is a pickle by its name"),
    "objects": save('np.save(directory / "w.npy", np.array([None]))', "model: w.npy: is an array of objects"),
    "in a zip": save('np.savez(directory / "w.npz", a=np.array([{}]))', "model: w.npz: holds a pickle (a.npy)"),
    "link": save('(directory / "w").symlink_to("/etc/passwd")', "was refused"),
    "kept in memory": Broken("load: ", (SAVE, "        Toy.kept = self.level\n")),
    # -- endings
    "raising": fit('raise ValueError("no\\nway")', "method 'raising', fit: ValueError: no way"),
    "raising later": translate("assert len(source) > 5", "method 'raising-later', translate: AssertionError"),
    "exit": fit("import sys; sys.exit(0)", "fit: called sys.exit(0); return when it is done"),
    "exit in load": Broken("load: called sys.exit('bad'); return", ("self.level = json.loads", "raise SystemExit('bad') #")),
    "exit now": fit("import os; os._exit(0)", "ended by itself with exit code 0; its output"),
    "killing": fit("import os; os.kill(os.getpid(), 9)", "its process was killed (SIGKILL)"),
    "terminating": fit("import os; os.kill(os.getpid(), 15)", "its process was killed (SIGTERM)"),
    "interrupting": fit("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "segfault": fit("import ctypes; ctypes.string_at(0)", "its process was killed (SIGSEGV); compiled code went wrong"),
    "hanging": fit("while True: pass", "did not end within 1 s; end its loops", seconds=1.0),
    "sleeping": translate("import time; time.sleep(600)", "did not end within 1 s", seconds=1.0),
    "hungry": fit("x = [np.ones(2**22) for _ in range(10**6)]", "MemoryError", memory_mb=512),
    "filling": fit('f = open(run.state_dir / "x", "wb"); [f.write(bytes(2**24)) for _ in range(999)]', "File too large"),
    "talkative": fit('print("x\\n" * 200_000)', "prints 200001 lines on a few small slices; say what people will read"),
    # -- the files
    "torch": Broken("imports torch at the top; import it inside", ("import json\n", "import json, torch\n")),
    "lacking": Broken("install 'nothing_like_this'", ("import json\n", "import json, nothing_like_this\n")),
    "syntax": Broken("cannot be imported (SyntaxError", ("class Toy(Method):", "class Toy(Method)")),
    "exit at import": Broken("import: called sys.exit(3)", ("import json\n", "import json, sys; sys.exit(3)\n")),
    "arguments": Broken("translate(self, source) cannot be called with", ("(self, source, generators)", "(self, source)")),
    "no readme": Broken("README.md: missing; say there", readme=False),
    "misspelt": Broken("sumary: unknown option; did you mean 'summary'?", yaml=YAML + "sumary: x\n"),
    "resources": Broken("resorces: unknown option; did you mean 'resources'?", yaml=YAML + "resorces: {gpu: 1}\n"),
    "ill-typed": Broken("compiles: input should be a valid boolean", yaml=YAML + "compiles: 'yes'\n"),
    "smoke": Broken("smoke.step: unknown option; did you mean 'steps'?", yaml="label: a\nsummary: b\nsmoke: {step: 4}\n"),
    "no yaml": Broken("not valid YAML", yaml="label: [a\n"),
}  # fmt: skip

"""What a method is asked to do, behind its wall: to describe itself, to be trained, to translate."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from xmodbench.devices import resolve_device
from xmodbench.errors import UserError
from xmodbench.files import sha256_json
from xmodbench.isolation import Wall
from xmodbench.plugins import METHODS, Control, FewShot, Method, Run, TrainData, TwoPhase
from xmodbench.plugins.discovery import Location, load, remember
from xmodbench.plugins.models import has_model
from xmodbench.plugins.settings import validated
from xmodbench.plugins.shape import Shape
from xmodbench.progress import Progress
from xmodbench.stages.wall.refusals import Refusals

TERMINATED = 128 + signal.SIGTERM
SEEN = {
    "train": {
        "zero-shot": "the target's training slices",
        "few-shot": "the target's training slices and the source's that were drawn for it",
        "paired": "both modalities' training slices",
        "control": "the target's training slices",
    },
    "translate": {"control": "source, target and model"},
}
"""By verb and supervision, what a method may see."""


class MethodTasks:
    """One method and what is asked of it, in the order of the requests.

    Args:
        request: of `PluginProcess._start`: locations, name, verb, settings.
        wall: around this process; None where the kernel has none.
    """

    settings_from: ClassVar[tuple[str, ...]] = ("--settings",)  # where the settings are told, for messages

    def __init__(self, request: dict[str, Any], wall: Wall | None):
        self.name, self.verb, self.available = request["name"], request["verb"], request["available"]
        self.progress = Progress(quiet=request["quiet"])
        locations = [
            Location(plugin_id, METHODS, Path(folder), entry) for plugin_id, folder, entry in request["locations"]
        ]
        for location in locations:
            remember(location)
        self.refusals = Refusals(locations[0].folder, wall)
        self.location, self.given = locations[0], request["settings"]

    def described(self) -> dict[str, Any]:
        """Import the method and say what it is (`xmodbench.stages.wall.process.Described`).

        Raises:
            UserError: it cannot be imported, breaks the contract, or refuses the settings.
        """
        cls = self._guarded("import", lambda: load(self.location)).cls
        self.settings = validated(cls.Config, self.given, *self.settings_from)
        self.method: Method = self._guarded("is made", lambda: cls(self.settings))
        text = self.settings.model_dump_json()
        control = isinstance(self.method, Control)
        wanted = None
        if isinstance(few := self.method, FewShot) and self.available is not None:
            wanted = self._guarded("source_slices", lambda: few.source_slices(self.available))
        return {
            "supervision": str(self.method.supervision),
            "settings": json.loads(text),
            "settings_sha256": sha256_json(text),
            "control": control,
            "plain": control and not self.method.model_plugin,
            "two_phase": isinstance(self.method, TwoPhase),
            "model_plugin": self.method.model_plugin,
            "has_model": has_model(type(self.method)),
            "shape": asdict(self._guarded("is made", lambda: Shape.of(self.method))),
            "wanted_slices": wanted,
        }

    def perform(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do a task; returns the facts of the run and the device.

        Raises:
            UserError: the method fails, or its images break the contract.
        """
        device = resolve_device(request["device"], request["tf32"], request["promised"])
        arguments = request["arguments"]
        run = Run(
            seed=request["seed"],
            device=device,
            state_dir=Path(arguments.get("state", "state")),
            progress=self.progress,
            threads=request["threads"],
            pretrained=Path(arguments["pretrained"]) if arguments.get("pretrained") else None,
        )
        task = {"train": self._train, "pretrain": self._train, "assist": self._train}
        task |= {"translate": self._translate, "compile": self._compile}
        facts = task[request["task"]](request["task"], arguments, run)
        return {
            "device": device,
            "facts": jsonable(run.facts),
            "looked_for": self.refusals.looked_for,
            **facts,
            **gpu_memory(),
        }

    def _compile(self, task: str, arguments: dict[str, Any], run: Run) -> dict[str, Any]:
        self._guarded("compile_kernels", type(self.method).compile_kernels)
        return {}

    def _train(self, task: str, arguments: dict[str, Any], run: Run) -> dict[str, Any]:
        from xmodbench.learning.training import processes
        from xmodbench.stages.wall.staging import opened

        source, volumes = arguments["source"], arguments.get("stacks")
        data = TrainData(opened(arguments["target"], volumes), None if source is None else opened(source, volumes))
        what, fit, save = "fit", self.method.fit, self.method.save
        if self.verb == "pretrain":
            assert isinstance(self.method, TwoPhase)
            what, fit, save = "pretrain", self.method.pretrain, self.method.save_pretrained
        self._guarded(what, lambda: fit(data, run))
        if task != "assist":
            self._guarded(save.__name__, lambda: save(Path(arguments["out"])))
        processes.separate()
        return {}

    def _translate(self, task: str, arguments: dict[str, Any], run: Run) -> dict[str, Any]:
        from xmodbench.stages.wall.translation import translate_into

        if arguments["model"] is not None:
            self._guarded("load", lambda: self.method.load(Path(arguments["model"]), run))
        names = self._guarded("translate", lambda: translate_into(self.method, arguments, run))
        return {"intermediates": names}

    def _guarded(self, what: str, work: Callable[[], Any]) -> Any:
        where = f"method '{self.name}', {what}"
        try:
            return work()
        except SystemExit as error:
            if error.code == TERMINATED:  # SIGTERM came, and its state is saved
                raise
            fix = "return when it is done, raise an exception when it fails"
            raise UserError(f"called sys.exit({error.code!r:.60})", where, fix) from None
        except KeyboardInterrupt:
            raise UserError("raised KeyboardInterrupt", where, "that is for who sits at the terminal") from None
        except Exception as error:
            seen = SEEN["translate" if self.verb == "translate" else "train"]
            may = seen.get(
                str(getattr(getattr(self, "method", None), "supervision", "")), "the source slices and its model"
            )
            raise self.refusals.explain(error, where, may) from None


def gpu_memory() -> dict[str, float]:
    """Peak memory of the GPU where torch used one, MiB."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    return {"gpu_memory_mb": round(torch.cuda.max_memory_allocated() / 1024**2, 1)}


def jsonable(facts: dict[str, Any]) -> dict[str, Any]:
    """A method's facts as they can be sent and recorded.

    Raises:
        UserError: they hold what JSON has no form for.
    """
    try:
        return json.loads(json.dumps(facts, default=float))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"run.facts cannot be recorded ({error})", "fit", "put numbers, texts, lists and dicts there"
        ) from None

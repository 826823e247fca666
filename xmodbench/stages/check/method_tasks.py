"""What a method under check is asked, behind its wall: the tasks of a job, and what it looks like from inside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar

from xmodbench.errors import UserError
from xmodbench.plugins import Run
from xmodbench.stages.check.interruption import Interruption
from xmodbench.stages.check.own_seeds import other_seeds
from xmodbench.stages.wall.tasks import MethodTasks

HEAVY = frozenset({"torch", "diffusers", "numba", "scipy.stats", "skimage.metrics", "SimpleITK"})
"""Libraries that take long to import."""


class ExaminedMethod(MethodTasks):
    """A method as in a job, whose training can be ended in the middle."""

    settings_from: ClassVar[tuple[str, ...]] = ("method.yaml", "smoke")

    def described(self) -> dict[str, Any]:
        """As in a job, once its settings were seen to survive JSON.

        Raises:
            UserError: they do not, or the import brought torch along.
        """
        before = "torch" in sys.modules
        found = super().described()
        if "torch" in sys.modules and not before:
            fix = "import it inside the methods, or in a module of your own that they import"
            raise UserError("imports torch at the top", self.location.where, fix)
        config = type(self.method).Config
        if config.model_validate_json(config().model_dump_json()) != config():
            raise UserError("the settings change when written as JSON and read back", self.location.where, "see Config")
        return found

    def _train(self, task: str, arguments: dict[str, Any], run: Run) -> dict[str, Any]:
        watched = Interruption(run.state_dir, **arguments.get("interrupt", {}))
        run.progress = watched.progress
        with other_seeds() if arguments.get("own_seeds") else nullcontext():
            found = super()._train(task, arguments, run)
        return {**found, "steps": watched.steps, "writes": watched.writes, "heavy": sorted(HEAVY & set(sys.modules))}

    def _translate(self, task: str, arguments: dict[str, Any], run: Run) -> dict[str, Any]:
        ways = arguments.pop("ways", [{}])
        found: dict[str, Any] = {}
        for way in ways:  # in one process, or torch would be imported for each
            if way.get("own_seeds"):  # not in `load`, which may draw again what the model was trained with
                plain = self.method.translate
                self.method.translate = lambda *given, plain=plain: _reseeded(plain, *given)  # type: ignore[method-assign]
            found = super()._translate(task, {**arguments, **way}, run)
        return found


def _reseeded(translate: Callable[..., Any], *given: Any) -> Any:
    with other_seeds():
        return translate(*given)

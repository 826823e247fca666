"""Diffusion methods that train nothing and translate with another plugin's unconditional model of the target.

Imports neither NumPy nor torch at its top, as plugins must not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmodbench.errors import UserError
from xmodbench.plugins import METHODS, Borrower, Run, find

from .method import DiffusionMethod

if TYPE_CHECKING:
    from .model import DiffusionModel


class DiffusionBorrower(Borrower, DiffusionMethod):
    """A method whose ``model_plugin`` trains unconditional diffusion models of the target."""

    def lent_model(self, directory: Path, run: Run, **sampling: Any) -> DiffusionModel:
        """A model of ``model_plugin``; this method's options, and `sampling`, replace the model's own of the same name.

        Raises:
            UserError: its process is variance-exploding.
        """
        from xmodbench.learning.diffusion import plugin
        from xmodbench.learning.training.weights import read_description

        assert self.model_plugin is not None
        if read_description(directory)["settings"].get("process") != "vp":
            problem = "a variance-exploding model; this method is defined for variance-preserving ones"
            raise UserError(problem, directory, f"train '{self.model_plugin}' with another preset")
        lender: Any = find(METHODS, self.model_plugin).cls.Config
        own = lender.model_construct(augment_test=False, **{**dict(self.settings), **sampling})
        return plugin.load(directory, lender, own, run)

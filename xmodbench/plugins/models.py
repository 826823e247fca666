"""Which methods translate with a model, and from which sources.

A module of its own: what it says decides no result, so plugins do not import it.
"""

from __future__ import annotations

from xmodbench.plugins.method import Control, Method
from xmodbench.plugins.shape import Shape


def has_model(cls: type[Method]) -> bool:
    """Whether a method translates with a model, its own or another plugin's; without one nothing is trained for it.

    Controls have none that keep to what `Control` says of ``fit``, ``save`` and ``load``, and borrow none.
    """
    own = any(getattr(cls, name) is not getattr(Control, name) for name in ("fit", "save", "load"))
    return not issubclass(cls, Control) or own or cls.model_plugin is not None


def serves(cls: type[Method], source: str) -> bool:
    """Whether a method translates from a source, or from several; a control that takes but one is handed the first."""
    return issubclass(cls, Control) or Shape.of(cls).serves(source)

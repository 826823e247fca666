"""Settings of which a preset fills in those that are left out."""

from __future__ import annotations

from typing import Any, ClassVar

from xmodbench.plugins import Settings


class PresetSettings(Settings):
    """Options whose None means: the preset's value.

    Subclasses add a ``preset`` field and their own options, and set `PRESETS`: for each preset the values of all fields.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]]
    SAMPLING: ClassVar[frozenset[str]] = frozenset()
    """Options that only translation uses: they can be changed for a trained model."""

    preset: str

    def resolved(self) -> Any:
        """A copy in which every option has its value: the given one, or the preset's. Not validated again.

        Of this class, but for a type checker open: what may be None here, never is there.
        """
        given = {name: value for name, value in self if value is not None}
        return type(self).model_construct(**{**dict(self), **self.PRESETS[self.preset], **given})

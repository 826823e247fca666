"""Whether a plugin's YAML and the functions of its class are what the harness will take them for, before anything runs."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from xmodbench.commands import documentation
from xmodbench.errors import UserError
from xmodbench.plugins.job_resources import Resources
from xmodbench.plugins.settings import validated


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a line break or another control character")
    return text


class Metadata(BaseModel):
    """``method.yaml`` or ``dataset.yaml``; authors may add keys of their own."""

    model_config = ConfigDict(extra="allow", strict=True)

    label: Annotated[str, AfterValidator(_one_line)] = Field(min_length=1, max_length=60)
    summary: str = Field(min_length=1, max_length=1000)
    reference: str = ""
    licence: str = ""
    answers: str = ""
    compiles: bool = False
    deterministic: bool = False
    files: list[str] = []
    smoke: dict[str, Any] = {}
    resources: Resources = Resources()


def check_metadata(meta: dict[str, Any], path: Path) -> None:
    """Raise UserError, naming the key, unless what the plugin's YAML says is what it should be."""
    validated(Metadata, meta, str(path))


def check_signatures(cls: type, base: type, where: Path) -> None:
    """Raise UserError unless the class's functions can be called as those of `base`, and of the classes between, are.

    A function that takes too little would be found out only when it is called: `translate` after a training of days.
    """
    for contract in (other for other in cls.__mro__ if issubclass(other, base) and other.__module__ == base.__module__):
        for name, promised in vars(contract).items():
            own = getattr(cls, name)
            if (
                not inspect.isfunction(promised)
                or name.startswith("_")
                or own is promised
                or not inspect.isfunction(own)
            ):
                continue
            asked = list(inspect.signature(promised).parameters)
            try:
                inspect.signature(own).bind(*asked)
            except TypeError:
                problem = (
                    f"class {cls.__name__}: {name}{inspect.signature(own)} cannot be called with {', '.join(asked)}"
                )
                raise UserError(problem, where, f"see {documentation('add-a-method.md')}") from None

"""Whether a plugin's YAML and the functions of its class are what the harness will take them for, before anything runs."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from xmodbench.commands import documentation
from xmodbench.errors import UserError
from xmodbench.plugins.job_resources import Resources
from xmodbench.plugins.settings import validated


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a line break or another control character")
    return text


class Metadata(BaseModel):
    """What every plugin's YAML says. Keys of an author's own go under ``notes``: any other would be a misspelt one."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    label: Annotated[str, AfterValidator(_one_line)] = Field(min_length=1, max_length=60)
    summary: str = Field(min_length=1, max_length=1000)
    reference: str = ""
    licence: str = ""
    notes: dict[str, Any] = {}


class MethodMetadata(Metadata):
    """``method.yaml``."""

    published: str = ""
    published_as: dict[str, dict[str, Any]] = {}
    published_unlike: dict[str, str] = {}
    answers: Literal["target", "source", "mean", "shuffled"] | None = None
    compiles: bool = False
    deterministic: bool = False
    files: list[str] = []
    several_processes: list[Literal["pretrain", "train"]] = []
    environment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][\w.-]{0,60}\.(txt|in|ya?ml)$")] | None = None
    smoke: dict[str, Any] = {}
    resources: Resources = Field(default_factory=Resources)

    @model_validator(mode="after")
    def _one_torch(self) -> MethodMetadata:
        if self.environment and self.several_processes:
            raise ValueError(
                "environment: processes that train together are started outside it; leave out several_processes"
            )
        return self


class DatasetMetadata(Metadata):
    """``dataset.yaml``."""

    published: dict[str, Any] = {}
    slices_published: Any = None
    smoke: dict[str, Any] = {}


class MetricMetadata(Metadata):
    """``metric.yaml``: what the table, the report and the checks have to know of a metric."""

    better: Literal["higher", "lower"]
    bounds: Annotated[list[float | None], Field(min_length=2, max_length=2)] = [None, None]
    unit: Annotated[str, AfterValidator(_one_line)] = Field("", max_length=20)
    digits: int = Field(3, ge=0, le=8)
    identical: float | None = None  # of an image with itself
    symmetric: bool = False  # translation and target can change places
    ranked: bool = True  # whether being better in it means being a better translation

    @model_validator(mode="after")
    def _check(self) -> MetricMetadata:
        low, high = self.bounds
        if low is not None and high is not None and low >= high:
            raise ValueError("bounds: the lower one must be below the upper")
        return self


KINDS: dict[str, type[Metadata]] = {
    "method.yaml": MethodMetadata,
    "dataset.yaml": DatasetMetadata,
    "metric.yaml": MetricMetadata,
}


def check_metadata(meta: dict[str, Any], path: Path) -> None:
    """Raise UserError, naming the key, unless what the plugin's YAML says is what it should be."""
    validated(KINDS[path.name], meta, str(path))
    name = meta.get("environment")
    if name is not None and not (path.parent / name).is_file():
        fix = "put a requirements file or a conda YAML there, or take the key out"
        raise UserError(f"environment: there is no file '{name}' beside it", path, fix)


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
                raise UserError(problem, where, f"see {documentation(f'add-a-{where.stem}.md')}") from None

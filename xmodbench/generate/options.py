"""The config's JSON schema and the option tables of config/README.md, from the pydantic models."""

from __future__ import annotations

import json
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from xmodbench.files import REPOSITORY
from xmodbench.generate.markers import between
from xmodbench.plan.config import (
    BenchmarkConfig,
    Compute,
    DatasetEntry,
    MethodEntry,
    Paths,
    PredictionsEntry,
    Reporting,
    Scoring,
)
from xmodbench.plugins import DATASETS, METHODS, Kind, find

BEGIN, END = "<!-- generated: options -->", "<!-- end of generated -->"

PARTS: list[tuple[str, type[BaseModel]]] = [
    ("Top level", BenchmarkConfig),
    ("`datasets.<id>`", DatasetEntry),
    ("`methods.<id>`", MethodEntry),
    ("`predictions`: each entry", PredictionsEntry),
    ("`compute`", Compute),
    ("`scoring`", Scoring),
    ("`report`", Reporting),
    ("`paths`", Paths),
]


def option_files(repository: Path) -> dict[Path, str]:
    """``config/schema.json`` and ``config/README.md`` (only what is between its two markers)."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **BenchmarkConfig.model_json_schema()}
    readme = repository / "config/README.md"
    text = readme.read_text(encoding="utf-8")
    return {
        repository / "config/schema.json": json.dumps(schema, indent=2) + "\n",
        readme: between(text, BEGIN, END, option_tables(), readme),
    }


def option_tables() -> str:
    """A table for each part of the config and for each plugin of this repository."""
    sections = [_section(f"### {title}", model) for title, model in PARTS]
    kinds: list[tuple[Kind, str]] = [(DATASETS, "Data set"), (METHODS, "Method")]
    for kind, title in kinds:
        sections += [
            _section(
                f"### {title} `{name}`: settings\n\n{find(kind, name).meta['summary']}", find(kind, name).cls.Config
            )
            for name in _own_plugins(kind)
        ]
    return "\n".join(sections)


def _own_plugins(kind: Kind) -> list[str]:
    return sorted(path.parent.name for path in (REPOSITORY / kind.folder).glob(f"*/{kind.module}.py"))


def _section(heading: str, model: type[BaseModel]) -> str:
    if not model.model_fields:
        return f"{heading}\n\nNo settings.\n"
    rows = [
        f"| `{name}` | {_type(info)} | {_default(info)} | {_cell(info.description or '')} |"
        for name, info in model.model_fields.items()
    ]
    return "\n".join([heading, "", "| option | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _type(info: FieldInfo) -> str:
    return _cell(_type_name(info.annotation))


def _type_name(kind: Any) -> str:
    """A type as people write it: ``dict[str, float]``, ``fp32 or bf16``, ``int or None``."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type_name(inner[0])
    if origin is Literal:
        return " or ".join(str(value) for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_type_name(item) for item in inner)
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_type_name(item) for item in inner)}]"
    words: dict[Any, str] = {type(None): "None", Ellipsis: "..."}
    return words.get(kind) or str(getattr(kind, "__name__", kind))


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{_cell(json.dumps(value, default=str))}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "or").split())

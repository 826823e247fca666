"""The base of every plugin's settings, the form of ids, and what is said of settings that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from xmodbench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
"""Ids become folder names and shell words: nothing else is let through."""
Modality = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,20}$")]


class Settings(BaseModel):
    """Base of every plugin's ``Config``: unknown options are refused, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def validated(model: type[BaseModel], values: dict[str, Any], where: str, prefix: str = "") -> Any:
    """``model.model_validate(values)`` with pydantic's report turned into one UserError for people."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_describe(model, item, prefix) for item in error.errors()]
        raise UserError("; ".join(dict.fromkeys(problems)) + f" ({where})") from None


def _describe(model: type[BaseModel], item: ErrorDetails, prefix: str) -> str:
    place = [_short(str(part)) for part in item["loc"] if part != "[key]"]
    path = ".".join(part for part in [prefix, *place] if part) or "config"
    if item["type"] == "extra_forbidden":
        hint = did_you_mean(place[-1], _keys_at(model, place[:-1]))
        return f"{path}: unknown option" + (f"; {hint}" if hint else "")
    if item["type"] == "missing":
        return f"{path}: missing; it has to be set"
    if item["type"] == "string_pattern_mismatch":
        return f"{path}: {_short(repr(item['input']))} must match {item['ctx']['pattern']}"
    if item["type"] == "value_error":
        # written by us for people; its input may be a whole part of the config
        return f"{path}: {item['ctx']['error']}"
    return f"{path}: {item['msg'].lower().rstrip('.')} (got {_short(repr(item.get('input')))})"


def _short(text: str) -> str:
    return text if len(text) < 60 else text[:57] + "..."


def _keys_at(model: type[BaseModel], place: list[str]) -> list[str]:
    """Names of the fields of the model that the path `place` leads to."""
    for part in place:
        inner = model.model_fields.get(part)
        if inner is None:
            continue  # an id within datasets or methods
        candidates = [inner.annotation, *getattr(inner.annotation, "__args__", ())]
        models = [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]
        if not models:
            return []
        model = models[-1]
    return list(model.model_fields)

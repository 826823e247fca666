"""The base of every plugin's settings, the form of ids, and what is said of settings that are wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, ValidationInfo, field_validator

from xmodbench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ID = r"^[a-z][a-z0-9_-]{0,40}$"
Id = Annotated[str, StringConstraints(pattern=ID)]
"""Ids become folder names and shell words: nothing else is let through."""
ID_FORM = "begin with a small letter; then small letters, digits, hyphens, underscores, at most 41 in all"
NAME = "[a-z][a-z0-9_]{0,20}"
Modality = Annotated[str, StringConstraints(pattern=rf"^{NAME}$")]


def check_id(text: str, place: object, fix: str) -> None:
    """Raise UserError unless a text is an id, as configs ask for; `fix` says how to give another."""
    if not re.fullmatch(ID, text):
        near = _like(text, ID)
        raise UserError(f"'{text:.60}' is no id", place, f"{fix}: {near or ID_FORM}")


def no_truth(model: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """Refuse `yes` where a number is wanted, which pydantic would take for 1."""
    field = model.model_fields.get(info.field_name or "")
    if isinstance(value, bool) and field is not None:
        kinds = {field.annotation, *get_args(field.annotation)}
        if kinds & {int, float} and bool not in kinds:
            raise ValueError(f"a number is wanted, not {'yes' if value else 'no'}")
    return value


class Settings(BaseModel):
    """Base of every plugin's ``Config``: unknown options are refused, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    _numbers = field_validator("*", mode="before")(classmethod(no_truth))


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
        return f"{path}: unknown option; {_known(model, place)}"
    if item["type"] == "missing":
        return f"{path}: missing; it has to be set"
    if item["type"] == "string_pattern_mismatch":
        hint = _like(str(item["input"]), item["ctx"]["pattern"])
        return f"{path}: {_short(repr(item['input']))} must match {item['ctx']['pattern']}" + (
            f"; {hint}" if hint else ""
        )
    if item["type"] == "value_error":
        # written by us for people; its input may be a whole part of the config
        return f"{path}: {item['ctx']['error']}"
    said = re.sub(r"valid dictionary( or instance of \w+)?", "mapping, `key: value`", item["msg"].lower().rstrip("."))
    hint = _instead(item, len(place))
    return f"{path}: {said} (got {_short(repr(item.get('input')))}" + (f"; {hint})" if hint else ")")


def _known(model: type[BaseModel], place: list[str]) -> str:
    """What stands there in place of an unknown option: one that is spelt like it, or lies elsewhere, or all there are."""
    here, name = _keys_at(model, place[:-1]), place[-1]
    if hint := did_you_mean(name, here):
        return hint
    if "settings" in here:
        return "the plugin's own options go under 'settings'"
    for key in here:
        if name in _keys_at(model, [*place[:-1], key]) and key in model.model_fields:
            return f"did you mean '{key}.{name}'?"
    shown = ", ".join(here[:12])
    return f"known: {shown}" + (", ..." if len(here) > 12 else "") if here else "there are none"


def _like(text: str, pattern: str) -> str | None:
    """A text like it that a pattern allows: in lower case, with an arrow where a direction has another sign."""
    if len(text) > 60:
        return None
    arrow = re.sub(r"\s*(->|=>|\u2192|>|-to-|_to_|\bto\b)\s*", "->", text.lower())
    plain = re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_-")
    return next((f"did you mean '{one}'?" for one in (arrow, plain) if re.search(pattern, one)), None)


def _instead(item: ErrorDetails, depth: int) -> str | None:
    """What to write in place of a value of the wrong type, or of one that is none of the choices; `depth` of its key."""
    kind, value = item["type"], item.get("input")
    if kind == "literal_error":  # of a few choices that are all named, the nearest in letters need not be the one meant
        choices = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        return did_you_mean(str(value), choices) if len(choices) > 3 else None
    single = isinstance(value, (str, int, float)) and len(str(value)) < 40
    if kind in ("list_type", "tuple_type") and single:
        return f"write [{value}]"
    if kind == "dict_type" and depth == 1 and isinstance(value, (str, list)):
        names = [value] if isinstance(value, str) else value
        if names and all(isinstance(name, str) and name.isidentifier() for name in names):
            return f"write {{{', '.join(f'{name}: ' for name in names)}}}"
    if kind == "string_type" and isinstance(value, (int, float)):
        return "put it in quotes"
    if kind == "int_parsing":
        number = re.sub(r"[,_' ]", "", value)
        if re.fullmatch(r"[+-]?\d+(\.\d*)?(e\+?\d{1,2})?", number, re.IGNORECASE) and float(number).is_integer():
            return f"write {int(float(number))}"
    return None


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

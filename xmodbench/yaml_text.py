"""Text of YAML as values: a safe loader that refuses what would be read otherwise than it looks."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from xmodbench.errors import UserError

MOST_VALUES = 100_000
"""In a config; aliases could make any number of a few bytes."""


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, but a key given twice is an error instead of the last one winning silently."""

    def construct_mapping(self, node, deep=False):
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "no mapping of keys", node.start_mark)
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key is no single value", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        # what PyYAML's own constructors raise for a number, a date or a truth value that is none
        except (AttributeError, LookupError, TypeError, ValueError):
            kind, shown = node.tag.rpartition(":")[2], str(node.value)
            problem = f"'{shown if len(shown) < 40 else shown[:37] + '...'}' is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _check_aliases(node: yaml.Node, known: dict[yaml.Node, int], above: tuple[yaml.Node, ...]) -> int:
    """How many values stand below a node once its aliases are written out.

    Raises:
        MarkedYAMLError: more than `MOST_VALUES` (aliases of aliases double), or without end.
    """
    if node in above:
        raise yaml.MarkedYAMLError(
            problem="Circular reference: an alias of what it stands in", problem_mark=node.start_mark
        )
    if node not in known:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        inner = node.value if isinstance(node, yaml.SequenceNode) else [item for pair in pairs for item in pair]
        known[node] = 1 + sum(_check_aliases(item, known, (*above, node)) for item in inner)
    if known[node] > MOST_VALUES:
        raise yaml.MarkedYAMLError(problem=f"more than {MOST_VALUES:,} values", problem_mark=node.start_mark)
    return known[node]


REMEDIES = {
    "character '\\t'": "indent by spaces, not by tabs",
    "cannot start any token": "put the text in quotes",
    "mapping values are not allowed": "write `key: value` with a space, and put texts with a colon in quotes",
    "expected <block end>": "indent keys of one mapping alike, and put texts that begin with { or [ in quotes",
    "unexpected end of stream": "close the quote",
    "but got '<stream end>'": "close the bracket",
    "expected ',' or": "close the bracket before, or put texts with : { } , in quotes",
    "undefined alias": "define it above with &",
    "another document": "one config to a file: remove the line ---",
}
"""What to do about what PyYAML finds, by a part of its words."""


def _remedy(problem: str) -> str | None:
    return next((fix for part, fix in REMEDIES.items() if part in problem), None)


def read_yaml(path: str | os.PathLike) -> dict[str, Any]:
    """Read a config file as a dict; UserError with line and column where it is not valid YAML."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError("no such config file", path) from None
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text", path, "save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", path) from None
    value = parse_yaml(text, path)
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"a {'list' if isinstance(value, list) else 'text or number'}"
        fix = "begin with `run: my-name`; the shipped configs are examples"
        raise UserError(f"not a config (it holds {found}, not keys)", path, fix)
    return value


def parse_yaml(text: str, where: object, fix: str | None = None) -> Any:
    """The value that YAML text stands for; UserError at `where`, with line and column, for text that stands for none."""
    try:
        loader = _StrictLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_aliases(node, {}, ())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        problem = str(getattr(error, "problem", error))
        raise UserError(f"not valid YAML: {problem}", place, fix or _remedy(problem)) from None
    except RecursionError:
        raise UserError("not valid YAML: nested too deeply", where, fix) from None

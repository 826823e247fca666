"""Whatever stands in a config or after --set: it is read, or refused in one line, and never run."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tests.properties.lines import check_line, hostile
from xmodbench.cli.options import parsed
from xmodbench.cli.runs import parse_overrides
from xmodbench.errors import UserError
from xmodbench.plan.config import load_config, merge, parse_config
from xmodbench.plan.plan import Plan

GOOD = {"run": "r", "datasets": {"sim_ixi": {}}, "methods": {"oracle": None}}

known = st.sampled_from(
    ["run", "seed", "datasets", "methods", "paths", "compute", "scoring", "report", "plugin", "raw", "directions", "title",
     "settings", "label", "note", "per_dataset", "sweep", "model_of", "translate_jobs", "data", "results", "device",
     "oracle", "threads", "processes", "batch_size", "bootstrap", "sim_ixi", "folder", "sdedit", "t1", "pd", "patterns",
     "split", "slices", "normalise", "image_size", "iterations"]
)  # fmt: skip
single = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), hostile, known, st.dates(), st.binary(max_size=8),
    st.sampled_from(["t1->pd", "{subject}.nii", "1e400", "0x_", "~", 2**70, -(2**70)]),
)  # fmt: skip
keys = st.one_of(known, hostile, st.integers(), st.none(), st.booleans())
values = st.recursive(
    single, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=12
)
# a config that is right but for some of its parts
configs = st.dictionaries(known, values, max_size=4).map(lambda changed: merge(GOOD, changed))
tags = st.sampled_from(
    ["bool", "int", "float", "null", "str", "binary", "timestamp", "map", "set", "seq", "omap", "pairs", "merge", "value",
     "python/name:os.system", "python/object/apply:os.abort", "python/object/new:os.abort"]
)  # fmt: skip
contents = st.sampled_from(
    ["x", "", "[]", "[a]", "{}", "{a: b}", "'1'", "[[a, b]]", "[{a: 1}]", "2020-99-99", "-", ".", "9" * 5000]
)
tagged = st.builds("{}!!{} {}".format, st.sampled_from(["", "run: ", "seed: ", "- ", "? "]), tags, contents)
pieces = st.lists(
    st.sampled_from(["run", ": ", "r", "\n", "  ", "- ", "&a ", "*a", "<<: ", "{", "}", "[", "]", "? ", "!!set ", "|\n",
                     "> ", "'", '"', "%YAML 1.2\n", "---\n", "...\n", "#", "=", "!!bool ", "0o9", "1:60", "\ufeff", "\t"]),
    max_size=14,
).map("".join)  # fmt: skip
yamls = st.one_of(
    hostile,
    tagged,
    pieces,
    values.map(lambda value: yaml.safe_dump(value, allow_unicode=True)),
    configs.map(yaml.safe_dump),
)


def reads(job) -> object:
    """What a job makes, None where it refuses in one line."""
    try:
        return job()
    except UserError as error:
        check_line(error)
        return None


@cache
def folder() -> TemporaryDirectory:
    return TemporaryDirectory(prefix="xmodbench-test-")


def write(text: str | bytes) -> Path:
    path = Path(folder().name) / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return path


@pytest.mark.fault(
    "config", "a file of any bytes, or of any YAML, for a config", "read, or one printable line; nothing is run"
)
@given(yamls | st.binary(max_size=60))
def test_any_file_is_a_config_or_refused(text):
    path = write(text)
    config = reads(lambda: load_config(path))
    if config is not None:
        reads(lambda: Plan(config, "c.yaml"))


@given(configs)
def test_any_values_make_a_plan_or_are_refused(config):
    checked = reads(lambda: parse_config(config, "c.yaml"))
    if checked is not None and (plan := reads(lambda: Plan(checked, "c.yaml"))):
        assert plan.cells


@pytest.mark.fault(
    "config", "anything at all after `--set`", "taken as it was written, or one printable line; nothing is run"
)
@given(
    st.one_of(
        hostile, st.builds("{}={}".format, st.one_of(known, hostile, st.just("datasets.sim_ixi.settings")), yamls)
    )
)
def test_anything_may_be_set(item):
    overrides = reads(lambda: parse_overrides([item]))
    if overrides is not None:
        json.dumps(overrides, allow_nan=False)
        reads(lambda: parse_config(merge(GOOD, overrides), "c.yaml"))


@given(st.one_of(hostile, values.map(lambda value: json.dumps(value, default=str, skipkeys=True))))
@example("[" * 5000)
@example('{"a": ' * 5000)
@example("9" * 5000)
def test_any_settings_on_the_command_line(text):
    found = reads(lambda: parsed(text))
    assert found is None or isinstance(found, dict)


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.fault(
    "config",
    "aliases of aliases that would fill the memory, or of what they stand in",
    "one line with the place, at once",
)
@pytest.mark.parametrize(
    ("text", "expected"),
    [(BOMB, r"c.yaml:\d+:\d+: not valid YAML: more than 100,000 values"),
     ("run: &a [*a]", "not valid YAML: Circular reference"),
     ("? &a {b: *a}\n: 1", "not valid YAML: Circular reference")],
)  # fmt: skip
def test_aliases_that_double(text, expected):
    with pytest.raises(UserError, match=expected) as caught:
        load_config(write(text))
    check_line(caught.value)


def test_aliases_are_read_as_what_they_stand_for():
    datasets = "datasets: {sim_ixi: {}, folder: {settings: &s {image_size: 8}}}"
    text = f"run: r\n{datasets}\nmethods: {{oracle: {{settings: *s}}, sdedit: {{settings: {{<<: *s}}}}}}"
    config = load_config(write(text))
    assert config.methods["oracle"].settings == config.methods["sdedit"].settings == {"image_size": 8}


mappings = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | st.integers(0, 3), max_size=3),
    max_leaves=8,
)


@given(mappings, mappings, mappings)
def test_laying_settings_over_each_other(base, preset, own):
    """Defaults, a preset and what is set may be merged in either grouping, and the last word counts."""
    kept = json.dumps([base, preset, own])
    assert merge(merge(base, {}), preset) == merge(base, preset) == merge({}, merge(base, preset))
    assert merge(base, base) == base and merge(merge(base, own), own) == merge(base, own)
    assert list(merge(base, own))[: len(base)] == list(base)
    if not clash(base, preset) and not clash(preset, own) and not clash(base, own):
        assert merge(merge(base, preset), own) == merge(base, merge(preset, own))
    assert json.dumps([base, preset, own]) == kept


def clash(one: object, other: object) -> bool:
    """Whether a key holds a mapping in one and something else in the other, which takes its place."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    shared = [(one[key], other[key]) for key in one.keys() & other.keys()]
    return any(isinstance(a, dict) != isinstance(b, dict) or clash(a, b) for a, b in shared)


@given(st.lists(st.tuples(st.sampled_from(["a", "a.b", "b", "b.c", "a.b.c"]), st.integers(0, 9)), max_size=5))
def test_several_overrides_are_laid_over_each_other_in_their_order(items):
    together = parse_overrides([f"{key}={value}" for key, value in items])
    one_by_one: dict = {}
    for key, value in items:
        one_by_one = merge(one_by_one, parse_overrides([f"{key}={value}"]))
    assert together == one_by_one

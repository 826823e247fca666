"""Config errors are the interface most users meet first: one line, the key, and what was meant."""

import pytest

from xmodbench.errors import UserError
from xmodbench.plan.config import load_config, merge, parse_config

GOOD = {"run": "r", "datasets": {"d": {}}, "methods": {"m": None}}


def problem(values: dict) -> str:
    with pytest.raises(UserError) as caught:
        parse_config(values, "c.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("(c.yaml)")
    return message


def test_defaults_are_filled_in():
    config = parse_config(GOOD, "c.yaml")
    assert config.methods["m"].settings == {}
    assert config.seed == 1
    assert config.paths.results == "results"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sed": 3}, "sed: unknown option; did you mean 'seed'?"),
        ({"compute": {"thread": 2}}, "compute.thread: unknown option; did you mean 'threads'?"),
        ({"datasets": {"d": {"setings": {}}}}, "datasets.d.setings: unknown option; did you mean 'settings'?"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0"),
        ({"seed": 1.5}, "seed: input should be a valid integer"),
        ({"seed": float("nan")}, "seed: "),
        ({"compute": {"device": "gpu"}}, "compute.device: input should be 'auto', 'cpu' or 'cuda'"),
        ({"compute": {"threads": 0}}, "compute.threads: "),
        ({"methods": {}}, "methods: "),
        ({"methods": ["m"]}, "methods: "),
        ({"datasets": {"d": {"directions": []}}}, "datasets.d.directions: "),
        ({"datasets": {"d": {"directions": ["t1"]}}}, "datasets.d.directions.0: 't1' must match"),
        ({"run": None}, "run: "),
    ],
)
def test_wrong_values(change, expected):
    assert expected in problem({**GOOD, **change})


@pytest.mark.parametrize("bad", ["../up", "a/b", "a b", "a;touch x", "a\nb", "$(x)", "A", "-a", "", "x" * 42, "ä"])
@pytest.mark.parametrize("part", ["datasets", "methods", "run"])
def test_ids_carry_neither_paths_nor_shell(part, bad):
    value = bad if part == "run" else {bad: {}}
    assert "must match" in problem({**GOOD, part: value})


def test_missing_key():
    assert "run: missing" in problem({"datasets": {"d": {}}, "methods": {"m": {}}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run: a\nrun: b\n", r"c\.yaml:2:1: not valid YAML: 'run' is given twice"),
        ("run: [\n", r"c\.yaml:2:1: not valid YAML"),
        ("run:\n\t- x\n", r"c\.yaml:2:1: not valid YAML"),
        ("- a\n", "not a config"),
        ("", "not a config"),
    ],
)
def test_bad_yaml(tmp_path, text, expected):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=expected):
        load_config(tmp_path / "c.yaml")


def test_bad_files(tmp_path):
    with pytest.raises(UserError, match="no such config file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "c.yaml").write_bytes(b"run: \xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        load_config(tmp_path / "c.yaml")


def test_merge_is_deep_and_leaves_its_inputs():
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merge(base, {"a": {"b": 3}, "d": [2]}) == {"a": {"b": 3, "c": 2}, "d": [2]}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}

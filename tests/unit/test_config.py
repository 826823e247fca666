"""Config errors are the interface most users meet first: one line, the key, and what was meant."""

import pytest

from xmodbench.errors import UserError
from xmodbench.plan.config import find_config, load_config, merge, parse_config

GOOD = {"run": "r", "datasets": {"d": {}}, "methods": {"m": None}}


def fault(case: str, outcome: str = "one line names the key"):
    return pytest.mark.fault("config", case, outcome)


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


TYPO = fault("a key with a typo", "one line names the key and the one that was meant")
EMPTY = fault("an empty list or mapping where something has to be")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"sed": 3}, "sed: unknown option; did you mean 'seed'?", marks=TYPO),
        ({"compute": {"thread": 2}}, "compute.thread: unknown option; did you mean 'threads'?"),
        ({"datasets": {"d": {"setings": {}}}}, "datasets.d.setings: unknown option; did you mean 'settings'?"),
        pytest.param(
            {"seed": -1}, "seed: input should be greater than or equal to 0", marks=fault("a negative number")
        ),
        pytest.param(
            {"seed": 1.5}, "seed: input should be a valid integer", marks=fault("a fraction for a whole number")
        ),
        pytest.param({"seed": float("nan")}, "seed: input should be a finite number", marks=fault("NaN for a number")),
        pytest.param(
            {"seed": float("inf")}, "seed: input should be a finite number", marks=fault("infinity for a number")
        ),
        pytest.param(
            {"compute": {"device": "gpu"}},
            "compute.device: input should be 'auto', 'cpu' or 'cuda'",
            marks=fault("a word that is none of the choices", "one line names the key and the choices"),
        ),
        pytest.param(
            {"compute": {"threads": 0}},
            "compute.threads: input should be greater than or equal to 1",
            marks=fault("zero where there must be one at least"),
        ),
        pytest.param(
            {"scoring": {"fid_sha256": "0" * 64}},
            "scoring.fid_sha256: is not that of pytorch-fid's Inception weights (6726825d",
            marks=fault("the hash of other weights than those that define FID"),
        ),
        ({"scoring": {"fid_sha256": "6726"}}, "scoring.fid_sha256: is not that of"),
        pytest.param({"compute": {"threads": "four"}}, "compute.threads: ", marks=fault("a word for a number")),
        pytest.param({"run": None}, "run: ", marks=fault("nothing for a text")),
        pytest.param({"methods": {}}, "methods: ", marks=EMPTY),
        pytest.param({"methods": ["m"]}, "methods: ", marks=fault("a list for a mapping")),
        pytest.param({"datasets": {"d": {"directions": []}}}, "datasets.d.directions: ", marks=EMPTY),
        ({"datasets": {"d": {"directions": ["t1"]}}}, "datasets.d.directions.0: 't1' must match"),
    ],
)
def test_wrong_values(change, expected):
    assert expected in problem({**GOOD, **change})


REFUSED = "one line says what an id looks like"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("../up", marks=fault("an id that leads out of its folder, `../up`", REFUSED)),
        pytest.param("a/b", marks=fault("an id with a slash", REFUSED)),
        pytest.param("a b", marks=fault("an id with a space", REFUSED)),
        pytest.param("a;touch x", marks=fault("an id with a shell command, `a;touch x`", REFUSED)),
        pytest.param("a\nb", marks=fault("an id with a line break", REFUSED)),
        pytest.param("x" * 300, marks=fault("an id of 300 characters", REFUSED)),
        pytest.param("ä", marks=fault("an id with an umlaut", REFUSED)),
        pytest.param("A", marks=fault("ids that differ in case only, so that folders would clash", REFUSED)),
        *("$(x)", "-a", "", "x" * 42, "a'", 'a"', "<b>", "a\n"),
    ],
)
@pytest.mark.parametrize("part", ["datasets", "methods", "run"])
def test_ids_carry_neither_paths_nor_shell(part, bad):
    value = bad if part == "run" else {"a": {}, bad: {}}
    message = problem({**GOOD, part: value})
    assert "must match" in message and len(message) < 200


@fault("a key that has to be set is missing")
def test_missing_key():
    assert "run: missing" in problem({"datasets": {"d": {}}, "methods": {"m": {}}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "run: a\nrun: b\n",
            r"c\.yaml:2:1: not valid YAML: 'run' is given twice",
            marks=fault("a key given twice", "one line with its place; the last one does not win in silence"),
        ),
        pytest.param(
            "run: [\n",
            r"c\.yaml:2:1: not valid YAML",
            marks=fault("YAML that ends too early", "one line with its place"),
        ),
        pytest.param(
            "run:\n\t- x\n", r"c\.yaml:2:1: not valid YAML", marks=fault("indented by a tab", "one line with its place")
        ),
        pytest.param(
            "- a\n", "not a config", marks=fault("a YAML list instead of a config", "one line names the file")
        ),
        ("", "not a config"),
        ("? [a, b]\n: c\n", r"c\.yaml:1:3: not valid YAML: a key is no single value"),
        ("run: a\0b\n", r"c\.yaml: not valid YAML: unacceptable character"),
        ("seed: " + "9" * 5000, r"c\.yaml:1:7: not valid YAML: '9{37}\.\.\.' is no int"),
        ("run: 2001-12-14t21:59:43-25:00\n", r"c\.yaml:1:6: not valid YAML: '2001-.*' is no timestamp"),
        pytest.param(
            "run: " + "[" * 600,
            r"c\.yaml: not valid YAML: nested too deeply",
            marks=fault("brackets nested 600 deep", "one line"),
        ),
        pytest.param(
            "run: !!python/object/apply:os.system ['touch run-by-yaml']",
            r"c\.yaml:1:6: not valid YAML: could not determine a constructor",
            marks=fault("a YAML tag that would run a program", "one line; nothing is run"),
        ),
    ],
)
def test_bad_yaml(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=expected):
        load_config(tmp_path / "c.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_aliases_and_merges_are_yaml(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "run: r\ndatasets: {d: {settings: &s {a: 1}}}\nmethods: {m: {settings: {<<: *s, b: 2}}}"
    )
    assert load_config(tmp_path / "c.yaml").methods["m"].settings == {"a": 1, "b": 2}


@fault(
    "a file that is not UTF-8, is a folder, is not there, or has a name too long to be one", "one line names the file"
)
def test_bad_files(tmp_path):
    with pytest.raises(UserError, match="no such config file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load_config(tmp_path)
    with pytest.raises(UserError, match="no such config file"):
        find_config("x" * 300)
    (tmp_path / "c.yaml").write_bytes(b"run: \xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        load_config(tmp_path / "c.yaml")


def test_merge_is_deep_and_leaves_its_inputs():
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merge(base, {"a": {"b": 3}, "d": [2]}) == {"a": {"b": 3, "c": 2}, "d": [2]}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}

"""Slips in a config, and hostile values on the command line, end with one line before anything is done."""

import json
from types import SimpleNamespace

import pytest
from snakemake.common.configfile import load_configfile

from xmodbench.cli.runs import parse_overrides
from xmodbench.errors import UserError
from xmodbench.plan.claim import CLAIM, check_claim, claim
from xmodbench.plan.config import merge, parse_config
from xmodbench.plan.plan import Plan
from xmodbench.plan.snakemake import run_snakemake

GOOD = {"run": "r", "datasets": {"sim_ixi": {}}, "methods": {"oracle": None}}


def fault(case, outcome):
    return pytest.mark.fault("config", case, outcome)


def plan(**changes):
    return Plan(parse_config({**GOOD, **changes}, "c.yaml"), "c.yaml")


@fault("a metric of one's own that does not exist", "one line names it")
def test_a_metric_that_does_not_exist():
    with pytest.raises(UserError, match=r"scoring.metrics.ssmi: unknown metric; known: none \(c.yaml\)"):
        plan(scoring={"metrics": ["ssmi"]})


@fault("a folder's name with a control character or a brace", "one line names the key")
@pytest.mark.parametrize("bad", ["a\nb", "a\0b", "a{b}", "\x1b[31m"])
@pytest.mark.parametrize("key", ["raw", "data", "results", "work"])
def test_folders_have_names(key, bad):
    with pytest.raises(UserError, match=rf"^paths.{key}: a folder's name cannot hold '.+' \(c.yaml\)$"):
        plan(paths={key: bad})


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        pytest.param(
            {"start": [0.2, "0.2"]},
            "methods.sdedit: two methods with the id 'sdedit-start-0_2'",
            marks=fault("a sweep with a value twice", "one line names the method"),
        ),
        pytest.param(
            {"start": [0.2, float("nan")]},
            "methods.sdedit.settings.start: input should be a finite number",
            marks=fault("a sweep over NaN", "one line names the option"),
        ),
        ({"<b>": [1]}, "methods.sdedit.settings.<b>: unknown option"),
        ({"start": [{"a": 1}]}, "methods.sdedit.settings.start: input should be a valid number"),
    ],
)
def test_sweeps_that_make_no_methods(sweep, expected):
    with pytest.raises(UserError, match=expected):
        plan(methods={"sdedit": {"sweep": sweep}})


HOSTILE = {
    "seed=!!python/object/apply:os.system ['touch ran']": "--set seed:1:1: not valid YAML",
    "seed=[": "--set seed:1:2: not valid YAML",
    "seed=" + "[" * 600: "nested too deeply",
    "seed=" + "9" * 5000: "not valid YAML",
    "seed=*a": "undefined alias",
    "seed=&a [*a]": "Circular reference",
    "seed=.inf": "put it in quotes",
    "run=2020-01-01": "date is not JSON serializable.*; put it in quotes",
    "run=!!set {a}": "put it in quotes",
    "run=$(touch ran)": "must match",
    "run=`touch ran`": "not valid YAML",
    "run='": "not valid YAML",
    "run=a\nb: c": "run: input should be a valid string|not valid YAML",
    "a..b=1": "a: unknown option",
    "datasets.a;touch ran.raw=1": "must match",
    "seed.x=1": "seed: input should be a valid integer",
    "=1": "is not KEY=VALUE",
    "seed": "is not KEY=VALUE",
    "report.title=" + "ü\"'<b>" * 60: "at most 120 characters",
}


@fault("`--set` with code, half a value, a date, 600 brackets, quotes or umlauts", "one line; nothing is run")
@pytest.mark.parametrize("item", HOSTILE, ids=lambda item: item[:24])
def test_nothing_that_is_set_is_run(tmp_path, monkeypatch, item):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=HOSTILE[item]) as caught:
        parse_config(merge(GOOD, parse_overrides([item])), "c.yaml")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
    assert not list(tmp_path.iterdir())


@fault("`--set` with quotes, braces, umlauts, lists and nothing", "they reach the run as they were written")
def test_what_is_set_arrives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    title = "Ünï {x} \"q\" 'p' $(touch ran) \\n"
    items = [f"report.title={json.dumps(title)}", "methods.sdedit.label=", "methods.sdedit.sweep={start: [0.2, 1]}"]
    asked = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: asked.append(command) or SimpleNamespace(returncode=0))
    run_snakemake(tmp_path / "c.yaml", parse_overrides(items), "1", [])
    (command,) = asked
    first = command.index("--configfile") + 1
    assert "--config" not in command and command[first] == str(tmp_path / "c.yaml")
    found = load_configfile(command[first + 1])  # as Snakemake reads it
    assert found == {"report": {"title": title}, "methods": {"sdedit": {"label": None, "sweep": {"start": [0.2, 1]}}}}
    assert plan(**merge(GOOD, found)).config.report.title == title


@fault("two configs whose runs have one name", "one line names both; the first one's results stay")
def test_a_results_folder_belongs_to_one_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(json.dumps(GOOD))
    made = plan()
    check_claim(made, ["a.yaml"])
    claim(made, [tmp_path / "a.yaml"])
    check_claim(made, ["a.yaml"])
    check_claim(made, [tmp_path / "a.yaml", "set.json"])
    check_claim(made, [])
    with pytest.raises(
        UserError, match=r"^results/r: holds the results of a.yaml, .* give b.yaml another name under `run`"
    ):
        check_claim(made, [tmp_path / "b.yaml"])
    (tmp_path / "a.yaml").rename(tmp_path / "c.yaml")  # a config may be renamed
    check_claim(made, ["c.yaml"])
    (tmp_path / "results/r" / CLAIM).write_text("[]")
    check_claim(made, ["c.yaml"])

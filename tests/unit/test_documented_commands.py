"""What pages tell people to type and to write is understood: commands by the command line, YAML by its model."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache

import pytest
import typer
import yaml

from tests.unit.test_repository import PAGES
from xmodbench.cli.app import app
from xmodbench.files import REPOSITORY
from xmodbench.plan.config import BenchmarkConfig, parse_config
from xmodbench.plan.plan import Plan
from xmodbench.plugins.settings import validated
from xmodbench.plugins.wellformed import KINDS

GROUP = typer.main.get_command(app)
TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.S | re.M)
PROGRAMS = re.compile(r"(xmodbench|snakemake|make) +[^ =]")
BASE = {"run": "x", "datasets": {"sim_ixi": {}}, "methods": {"oracle": {}}}


def name_of(page):
    return page.relative_to(REPOSITORY).as_posix()


def whole(text: str) -> Iterator[str]:
    """Command lines of fenced and indented blocks."""
    blocks = [body for language, body in FENCE.findall(text) if language in ("", "sh", "bash", "console")]
    blocks += re.findall(r"^    (.*)$", FENCE.sub("", text), re.M)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if PROGRAMS.match(line.strip()):
            yield line.strip()


def mentioned(text: str) -> Iterator[str]:
    """Commands within sentences, which may leave out what they are given."""
    for code in re.findall(r"`([^`]+)`", FENCE.sub("", text)):
        if PROGRAMS.match(code):
            yield " ".join(code.split())


def options_of(words: list[str]) -> set[str]:
    return {word.split("=")[0] for word in words if re.match(r"--\w", word)}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


@cache
def snakemakes() -> set[str]:
    from snakemake.cli import get_argument_parser

    return set(get_argument_parser()._option_string_actions)


def unknown(line: str) -> set[str]:
    """Words of a command line that its program does not know."""
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        return {word for word in words if "=" not in word} - targets()
    if program == "snakemake":
        return options_of(words) - snakemakes()
    if words[0].startswith("-"):
        return options_of(words) - {name for item in GROUP.params for name in item.opts} - {"--install-completion"}
    if words[0] not in GROUP.commands:
        return {words[0]}
    known = {name for item in GROUP.commands[words[0]].params for name in [*item.opts, *item.secondary_opts]}
    left = options_of(words) - known - {"--help"}
    return left - snakemakes() if left and words[0] == "run" else left


@pytest.mark.parametrize("page", TODAY, ids=name_of)
def test_commands_of_a_page_are_understood(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    lines = list(whole(text))
    wrong = {line: found for line in [*lines, *mentioned(text)] if (found := unknown(line))}
    assert wrong == {}
    for line in lines:
        program, verb, *words = [word for word in shlex.split(line, comments=True) if word not in ("...", "…")]
        if program == "xmodbench":
            GROUP.commands[verb].make_context(verb, words)


@pytest.mark.parametrize("page", TODAY, ids=name_of)
def test_yaml_of_a_page_is_what_its_model_takes(page):
    for language, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if language not in ("yaml", "yml"):
            continue
        values = yaml.safe_load(body.replace("0f…", "0f" * 32))  # a hash that is cut short
        if set(values) <= set(BenchmarkConfig.model_fields):
            parse_config(BASE | values, name_of(page))
        else:
            named = {"label": "a", "summary": "b"} | values
            (kind,) = [kind for kind in KINDS.values() if set(named) <= set(kind.model_fields)][:1]
            validated(kind, named, name_of(page))


def test_the_readme_has_what_these_tests_read():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert {line.split()[0] for line in [*whole(text), *mentioned(text)]} == {"make", "snakemake", "xmodbench"}
    assert sum(language == "yaml" for language, _ in FENCE.findall(text)) == 1


def test_the_readme_s_volumes_can_be_planned():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (volumes,) = [yaml.safe_load(body) for language, body in FENCE.findall(text) if language == "yaml"]
    config = yaml.safe_load((REPOSITORY / "config" / "folder.yaml").read_text(encoding="utf-8")) | volumes
    plan = Plan(parse_config(config, "README.md"), "README.md")
    assert {(cell.dataset, cell.source, cell.target) for cell in plan.cells} == {
        ("mine", "t1", "flair"),
        ("mine", "flair", "t1"),
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("xmodbench plann demo", {"plann"}),
        ("xmodbench plan demo --jsn", {"--jsn"}),
        ("xmodbench run demo --nothing-like-this --set a=b", {"--nothing-like-this"}),
        ("snakemake --use-condo", {"--use-condo"}),
        ("make demoo", {"demoo"}),
        ("xmodbench --vers", {"--vers"}),
    ],
)
def test_what_nobody_knows_is_found(line, found):
    assert unknown(line) == found

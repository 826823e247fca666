"""What a repository promises to those who come by: links that lead somewhere, checks that call what is there."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.unit.test_house import LEVEL
from xmodbench.files import REPOSITORY

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "*/README.md", "*/*/README.md", ".github/**/*.md")
    for path in REPOSITORY.glob(pattern)
    if path.relative_to(REPOSITORY).parts[0] not in (".venv", "data", "raw", "work", "results", "node_modules")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}, which is not there"
        if heading:
            assert heading in headings(found), f"{page.name} links to {target}, a heading that is not there"


def headings(page) -> set[str]:
    """The anchors of a page's headings, as repository hosts make them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", line.lower()).replace(" ", "-") for line in lines}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def test_workflow_files_call_make_targets_that_exist():
    for file in (REPOSITORY / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(file.read_text())["jobs"]
        for name, job in jobs.items():
            called = [re.match(r"make (\w+)", step.get("run", "")) for step in job["steps"]]
            assert {match[1] for match in called if match} & targets(), f"{file.name}: {name} calls no make target"
            assert {match[1] for match in called if match} <= targets(), f"{file.name}: {name}"


def test_hooks_run_tools_that_set_up_brings():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert len(hooks) >= 5
    if not (REPOSITORY / ".venv").is_dir():
        pytest.skip("no .venv here: the tools are elsewhere")
    for hook in hooks:
        tool = hook["entry"].split()[0]
        done = subprocess.run([REPOSITORY / tool, "--help"], capture_output=True, check=False)
        assert done.returncode == 0, hook["id"]


def test_the_workflow_catalogs_file_says_how_to_run():
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] is True
    assert (REPOSITORY / "workflow" / "Snakefile").is_file() and (REPOSITORY / "config" / "README.md").is_file()


def test_the_drawing_of_the_rooms_is_that_of_the_floors():
    """Every room is in it, and every arrow leads down."""
    drawing = re.findall(r"```mermaid\n(.*?)```", (REPOSITORY / "docs" / "architecture.md").read_text(), re.DOTALL)[1]
    names = {key: name.strip("/") for key, name in re.findall(r"(\w+)\[\"<b>([^<]+)</b>", drawing)}
    ground = {
        "records",
        "store",
        "devices",
        "isolation",
        "commands",
        "files",
        "progress",
        "seeding",
        "yaml_text",
        "directions",
        "errors",
        "lean_imports",
    }
    assert set(LEVEL) - ground - {"benchmarks"} <= set(names.values())
    for line in drawing.splitlines()[1:]:
        upper, _, lower = line.partition(" --> ")
        for target in filter(None, lower.split(" & ")):
            above, below = names[upper.split("[")[0].strip()], names[target.split("[")[0].strip()]
            assert below == "common ground" or LEVEL[above] < LEVEL[below], line

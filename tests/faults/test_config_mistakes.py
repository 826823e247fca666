"""The slips that people make in a config: each is one line with the file or the key's path, and what to write instead."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.properties.lines import check_line
from xmodbench.errors import UserError
from xmodbench.plan.config import load_config
from xmodbench.plan.plan import Plan

DATA, METHODS = "datasets: {sim_ixi: {}}\n", "methods: {oracle: }\n"
ALL = f"run: r\n{DATA}{METHODS}"


def data(text: str) -> str:
    """A config with data sets of this kind."""
    return f"run: r\n{METHODS}datasets: {text}\n"


def methods(text: str) -> str:
    """A config with methods of this kind."""
    return f"run: r\n{DATA}methods: {text}\n"


def one(text: str) -> str:
    """A config whose data set has these keys."""
    return data(f"{{sim_ixi: {{{text}}}}}")


def sdedit(text: str) -> str:
    """A config whose method has these keys."""
    return methods(f"{{sdedit: {{{text}}}}}")


PATTERNS = "{{folder: {{settings: {{patterns: {{{}}}}}}}}}"
MAPPING = "input should be a mapping, `key: value`"
WHOLE = "neither ~ nor variables are filled in: write the whole path"
MISTAKES = {
    # keys
    "a typo in a key": (
        f"run: r\ndataset: {{sim_ixi: }}\n{METHODS}",
        "dataset: unknown option; did you mean 'datasets'?",
    ),
    "a capital letter": (ALL + "Seed: 3", "Seed: unknown option; did you mean 'seed'?"),
    "a dash for an underscore": (
        ALL + "compute: {batch-size: 4}",
        "compute.batch-size: unknown option; did you mean 'batch_size'?",
    ),
    "a key of another part": (ALL + "device: cpu", "device: unknown option; did you mean 'compute.device'?"),
    "singular for plural": (
        one("direction: [pd->t1]"),
        "datasets.sim_ixi.direction: unknown option; did you mean 'directions'?",
    ),
    "a data set's option not under settings": (
        one("image_size: 64"),
        "datasets.sim_ixi.image_size: unknown option; the plugin's own options go under 'settings'",
    ),
    "a method's option not under settings": (
        sdedit("iterations: 9"),
        "methods.sdedit.iterations: unknown option; the plugin's own options go under 'settings'",
    ),
    "a typo in a method's option": (
        sdedit("settings: {iteration: 9}"),
        "methods.sdedit.settings.iteration: unknown option; did you mean 'iterations'?",
    ),
    "a typo two levels down": (
        one("settings: {slices: {cnt: 4}}"),
        "datasets.sim_ixi.settings.slices.cnt: unknown option; did you mean 'count'?",
    ),
    "a metric of one's own that is not there": (
        ALL + "scoring: {metrics: [psnr]}",
        "scoring.metrics.psnr: unknown metric; known: none",
    ),
    "a key for anchors": (
        "defaults: &d {preset: short}\n" + sdedit("settings: *d"),
        "defaults: unknown option; known: run, seed,",
    ),
    "no data sets": (f"run: r\n{METHODS}", "datasets: missing; it has to be set"),
    "no run": (DATA + METHODS, "run: missing; it has to be set"),
    # names
    "a typo in a method": (methods("{sdedti: }"), "methods.sdedti: unknown method; did you mean 'sdedit'?"),
    "a method's label for its id": (methods("{CycleGAN: }"), "did you mean 'cyclegan'?"),
    "a typo in a plugin": (
        methods("{mine: {plugin: cyclgan}}"),
        "methods.mine.plugin: unknown method; did you mean 'cyclegan'?",
    ),
    "a typo in a data set": (data("{sim-ixi: }"), "datasets.sim-ixi: unknown dataset; did you mean 'sim_ixi'?"),
    "a data set that is not there": (data("{brats: }"), "datasets.brats: unknown dataset; known: "),
    "a typo in a preset": (sdedit("settings: {preset: shrot}"), "did you mean 'short'?"),
    "a name with a space": (f"run: My Run\n{DATA}{METHODS}", "did you mean 'my_run'?"),
    "a number for a name": (
        f"run: 3\n{DATA}{METHODS}",
        "run: input should be a valid string (got 3; put it in quotes)",
    ),
    "per_dataset of another run": (
        sdedit("per_dataset: {ixi: {epochs: 3}}"),
        "methods.sdedit.per_dataset: unknown data set 'ixi'; did you mean 'sim_ixi'?",
    ),
    "model_of with a typo": (
        methods("{sdedit: , b: {plugin: sdedit, model_of: sdedti}}"),
        "methods.b.model_of: no method 'sdedti'; did you mean 'sdedit'?",
    ),
    "a borrower without its lender": (methods("{ilvr: }"), "add 'sdedit' to the methods"),
    "a sweep over what is no option": (
        sdedit("sweep: {startt: [0.3]}"),
        "settings.startt: unknown option; did you mean 'start'?",
    ),
    # directions
    "a direction with `to`": (one("directions: [pd to t1]"), "datasets.sim_ixi.directions.0: 'pd to t1' must match"),
    "a direction with another arrow": (one("directions: [pd→t1]"), "did you mean 'pd->t1'?"),
    "a direction with `=>`": (one("directions: ['pd=>t1']"), "did you mean 'pd->t1'?"),
    "a direction with spaces": (one("directions: [pd -> t1]"), "did you mean 'pd->t1'?"),
    "a direction in capitals": (one("directions: [PD->T1]"), "did you mean 'pd->t1'?"),
    "a direction alone": (
        one("directions: pd->t1"),
        "directions: input should be a valid list (got 'pd->t1'; write [pd->t1])",
    ),
    "a direction as a pair": (
        one("directions: [[pd, t1]]"),
        "directions.0: input should be a valid string (got ['pd', 't1'])",
    ),
    "a direction as a mapping": (one("directions: {pd: t1}"), "directions: input should be a valid list"),
    "a modality that is not there": (one("directions: [t2->t1]"), "unknown modality 't2'; the data set has t1, pd"),
    "a modality to itself": (one("directions: [t1->t1]"), "'t1->t1' translates a modality to itself"),
    # types
    "a list of methods": (
        methods("[oracle, sdedit]"),
        f"methods: {MAPPING} (got ['oracle', 'sdedit']; write {{oracle: , sdedit: }})",
    ),
    "one data set as a text": (data("sim_ixi"), f"datasets: {MAPPING} (got 'sim_ixi'; write {{sim_ixi: }})"),
    "a data set's folder for its entry": (data("{sim_ixi: raw/x}"), f"datasets.sim_ixi: {MAPPING} (got 'raw/x')"),
    "settings as a list": (sdedit("settings: [preset, short]"), f"methods.sdedit.settings: {MAPPING}"),
    "methods left empty": (f"run: r\n{DATA}methods:\n", f"methods: {MAPPING} (got None)"),
    "a sweep over one value": (
        sdedit("sweep: {start: 0.3}"),
        "methods.sdedit.sweep.start: input should be a valid list (got 0.3; write [0.3])",
    ),
    "a sweep over nothing": (sdedit("sweep: {start: []}"), "methods.sdedit.sweep: 'start' has no values"),
    "two folders for one": (
        one("raw: [a, b]"),
        "datasets.sim_ixi.raw: input should be a valid string (got ['a', 'b'])",
    ),
    "a folder left empty": (ALL + "paths: {data: }", "paths.data: input should be a valid string (got None)"),
    "one pattern for two": (
        data(PATTERNS.format("t1: '{subject}_T1.nii'")),
        "datasets.folder.settings.patterns: dictionary should have at least 2 items",
    ),
    "patterns of pictures": (
        data(PATTERNS.format("t1: '{subject}_T1.jpg', pd: '{subject}_PD.jpg'")),
        "patterns: t1: must end in .nii.gz, .nii",
    ),
    "no patterns for own volumes": (
        data("{folder: {raw: x}}"),
        "datasets.folder.settings.patterns: missing; it has to be set",
    ),
    # numbers
    "a word for a seed": (ALL + "seed: one", "seed: input should be a valid integer"),
    "a fraction for a seed": (
        ALL + "seed: 1.5",
        "seed: input should be a valid integer, got a number with a fractional part (got 1.5)",
    ),
    "yes for a seed": (ALL + "seed: yes", "seed: a number is wanted, not yes"),
    "no for an option": (
        sdedit("settings: {iterations: no}"),
        "methods.sdedit.settings.iterations: a number is wanted, not no",
    ),
    "a seed below zero": (ALL + "seed: -1", "seed: input should be greater than or equal to 0 (got -1)"),
    "a seed of eleven digits": (ALL + "seed: 99999999999", "seed: input should be less than 2147483648"),
    "an exponent that YAML has for a text": (ALL + "seed: 1e3", "(got '1e3'; write 1000)"),
    "a comma between thousands": (sdedit("settings: {iterations: '1,000'}"), "(got '1,000'; write 1000)"),
    "a size below zero": (
        one("settings: {image_size: -64}"),
        "datasets.sim_ixi.settings.image_size: input should be greater than or equal to 16 (got -64)",
    ),
    "a size with its unit": (
        one("settings: {image_size: 64px}"),
        "datasets.sim_ixi.settings.image_size: input should be a valid integer",
    ),
    "a size as a pair": (
        one("settings: {image_size: [64, 64]}"),
        "image_size: input should be a valid integer (got [64, 64])",
    ),
    "no threads": (
        ALL + "compute: {threads: 0}",
        "compute.threads: input should be greater than or equal to 1 (got 0)",
    ),
    "a device that is none": (
        ALL + "compute: {device: gpu}",
        "compute.device: input should be 'auto', 'cpu' or 'cuda' (got 'gpu')",
    ),
    "a device with its number": (
        ALL + "compute: {device: 'cuda:0'}",
        "compute.device: input should be 'auto', 'cpu' or 'cuda'",
    ),
    "maybe for a switch": (ALL + "compute: {tf32: maybe}", "compute.tf32: input should be a valid boolean"),
    "parts of a control": (
        methods("{oracle: {translate_jobs: 2}}"),
        "methods.oracle.translate_jobs: a control answers for all slices at once",
    ),
    # what a shell would fill in
    "an environment variable": (ALL + "paths: {data: $HOME/data}", f"paths.data: {WHOLE}"),
    "an environment variable in braces": (ALL + "paths: {data: '${HOME}/data'}", f"paths.data: {WHOLE}"),
    "a tilde": (one("raw: ~/ixi"), f"datasets.sim_ixi.raw: {WHOLE}"),
    # YAML
    "a tab": (
        f"run: r\ndatasets:\n\tsim_ixi: {{}}\n{METHODS}",
        "c.yaml:3:1: not valid YAML: found character '\\t' that cannot start any token; indent by spaces",
    ),
    "no space after a colon": (
        f"run:r\n{DATA}{METHODS}",
        "c.yaml:2:9: not valid YAML: mapping values are not allowed here; write `key: value` with a space",
    ),
    "crooked indents": (
        "run: r\ndatasets:\n  sim_ixi:\n      raw: x\n     plugin: y\n" + METHODS,
        "c.yaml:5:6: not valid YAML: expected <block end>, but found '<block mapping start>'; indent keys",
    ),
    "a key twice": (ALL + "seed: 1\nseed: 2", "c.yaml:5:1: not valid YAML: 'seed' is given twice"),
    "a method twice": (methods("{sdedit: , sdedit: }"), "not valid YAML: 'sdedit' is given twice"),
    "a quote that is not closed": (
        ALL + "report: {title: 'x}\n",
        "not valid YAML: found unexpected end of stream; close the quote",
    ),
    "a bracket that is not closed": (
        f"run: r\ndatasets: {{sim_ixi: {{}}\n{METHODS}",
        "c.yaml:3:1: not valid YAML: expected ',' or '}', but got '<scalar>'; close the bracket",
    ),
    "a title with a colon": (
        ALL + "report:\n  title: MR: a study",
        "c.yaml:5:12: not valid YAML: mapping values are not allowed here; write `key: value` with a space, and put texts",
    ),
    "a text that begins with %": (
        ALL + "report: {title: '%'}\nseed: %s",
        "that cannot start any token; put the text in quotes",
    ),
    "a pattern without quotes": (
        f"run: r\n{METHODS}datasets:\n  folder:\n    settings:\n      patterns:\n        t1: {{subject}}_T1.nii\n",
        "put texts that begin with { or [ in quotes",
    ),
    "an alias of nothing": (
        sdedit("settings: *short"),
        "not valid YAML: found undefined alias 'short'; define it above with &",
    ),
    "a merge of nothing": (
        sdedit("settings: {<<: *short, preset: short}"),
        "found undefined alias 'short'; define it above with &",
    ),
    "a merge of a number": (
        sdedit("settings: {<<: 3, preset: short}"),
        "not valid YAML: expected a mapping or list of mappings for merging",
    ),
    "two configs in a file": (
        ALL + "---\nrun: x",
        "but found another document; one config to a file: remove the line ---",
    ),
    "a comment as in JavaScript": (
        '{"run": "r", // my run\n "datasets": {}}',
        "c.yaml:2:12: not valid YAML: expected ',' or '}'",
    ),
    # files
    "an empty file": ("", "c.yaml: not a config (it holds nothing, not keys); begin with `run: my-name`"),
    "nothing but comments": ("# run: r\n", "c.yaml: not a config (it holds nothing, not keys)"),
    "a list": ("- run: r\n", "c.yaml: not a config (it holds a list, not keys)"),
    "a page of the web": (
        "<html><body>404</body></html>\n",
        "c.yaml: not a config (it holds a text or number, not keys)",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mistakes")


@pytest.mark.fault(
    "config",
    f"{len(MISTAKES)} slips that people make, from typos and tabs to directions with another arrow",
    "each is one line with the key's path, or line and column, and what to write instead",
)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    text, expected = MISTAKES[name]
    Path("c.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        Plan(load_config("c.yaml"), "c.yaml")
    assert time.process_time() - began < 1
    assert expected in str(caught.value) and "c.yaml" in str(caught.value)
    check_line(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        ALL,
        ALL + "seed: '1'",
        ALL + "seed: 1.0",
        sdedit("settings: {learning_rate: 1e-4}"),
        sdedit("settings: &s {preset: short}"),
        methods("{sdedit: {settings: &s {preset: short}}, b: {plugin: sdedit, settings: {<<: *s, start: 0.3}}}"),
        one("directions: ['pd->t1']"),
    ],
)
def test_what_is_meant_well_is_taken(folder, monkeypatch, text):
    """Numbers in quotes, anchors and merge keys stand for what they look like."""
    monkeypatch.chdir(folder)
    Path("c.yaml").write_text(text)
    assert Plan(load_config("c.yaml"), "c.yaml").config.seed == 1

"""Sweeps, settings by data set, and which methods share a training."""

import pytest

from tests.plugins import few_shot, write_dataset, write_method
from tests.unit.test_plan import DATASET
from xmodbench.errors import UserError
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan

SWEPT = """
class Config(Settings):
    width: int = 8
    start: float = 0.5
    parts: tuple[str, ...] = ("a", "b")

class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    Config = Config
    translation_settings = frozenset({"start"})
    def fit(self, train, run): pass
    def save(self, directory): pass
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""
BORROWER = """
from xmodbench.plugins import Borrower, Control

class Toy(Borrower):
    supervision = Supervision.ZERO_SHOT
    model_plugin = "swept"
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""
PHASES = """
from xmodbench.plugins import TwoPhase

class Config(Settings):
    width: int = 8
    depth: int = 2
    start: float = 0.5

class Toy(TwoPhase):
    supervision = Supervision.ZERO_SHOT
    Config = Config
    translation_settings = frozenset({"start"})
    pretraining_settings = frozenset({"width"})
    def pretrain(self, train, run): pass
    def save_pretrained(self, directory): pass
    def load_pretrained(self, directory, run): pass
    def fit_pretrained(self, train, run): pass
    def save(self, directory): pass
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""
FEW = few_shot(SWEPT)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path, "toy", DATASET)
    write_dataset(tmp_path, "toy2", DATASET)
    for name, body in {"swept": SWEPT, "borrower": BORROWER, "few": FEW, "phases": PHASES}.items():
        write_method(tmp_path, name, body)
    write_method(tmp_path, "needs_few", BORROWER.replace('"swept"', '"few"'))

    def make(methods, **changes):
        directions = {"directions": ["ct->mr"]}
        values = {"run": "r", "datasets": {"toy": directions, "toy2": directions}, "methods": methods, **changes}
        return Plan(parse_config(values, "c.yaml"), "c.yaml")

    return make


def folders(plan, dataset="toy"):
    return {cell.method: plan.model_dir(cell).parts[-3] for cell in plan.cells if cell.dataset == dataset}


def test_a_sweep_of_translation_options_trains_once(plan):
    made = plan({"swept": {"sweep": {"start": [0.2, 0.4]}}})
    assert folders(made) == {"swept-start-0_2": "swept", "swept-start-0_4": "swept"}
    assert [made.methods[name].settings["toy"].start for name in made.methods] == [0.2, 0.4]
    assert [made.method_label(name) for name in made.methods] == ["Toy, start 0.2", "Toy, start 0.4"]
    assert "start" not in made.trainings["toy", "swept"].settings


def test_a_sweep_of_training_options_trains_each(plan):
    made = plan({"m": {"plugin": "swept", "sweep": {"parts": [["a"], []], "width": [8, 16]}}})
    names = ["m-parts-a-width-8", "m-parts-a-width-16", "m-parts-none-width-8", "m-parts-none-width-16"]
    assert folders(made) == dict(zip(names, names, strict=True))


def test_methods_that_differ_in_translation_only_share_a_training(plan):
    made = plan({"swept": {}, "later": {"plugin": "swept", "settings": {"start": 0.9}}})
    assert folders(made) == {"swept": "swept", "later": "swept"}


def test_settings_by_data_set(plan):
    made = plan({"swept": {"settings": {"width": 4}, "per_dataset": {"toy2": {"width": 6}}}})
    assert {name: made.methods["swept"].settings[name].width for name in made.datasets} == {"toy": 4, "toy2": 6}
    assert '"width":6' in made.trainings["toy2", "swept"].settings


def test_borrowed_models(plan):
    made = plan({"borrower": {}, "swept": {"settings": {"width": 4}}})
    assert folders(made) == {"borrower": "swept", "swept": "swept"}
    made = plan({"a": {"plugin": "swept"}, "b": {"plugin": "swept", "model_of": "a", "settings": {"start": 0.1}}})
    assert folders(made) == {"a": "a", "b": "a"}
    assert made.methods["b"].settings["toy"].start == 0.1


def pretrained(plan):
    return {
        cell.method: plan.pretrained_dir(plan.training(cell), cell.dataset, plan.model_name(cell)).parts[-3:]
        for cell in plan.cells
        if cell.dataset == "toy"
    }


def test_trainings_that_differ_in_the_second_phase_share_the_first(plan):
    made = plan({"phases": {"sweep": {"depth": [1, 2]}}, "later": {"plugin": "phases", "settings": {"start": 0.1}}})
    assert folders(made) == {"phases-depth-1": "phases-depth-1", "phases-depth-2": "phases-depth-2"} | {
        "later": "phases-depth-2"
    }
    assert set(pretrained(made).values()) == {("phases", "toy", "mr")}
    assert {first.settings for first in made.pretrainings.values()} == {'{"width":8}'}


def test_a_sweep_of_the_first_phase_does_each(plan):
    made = plan({"phases": {"sweep": {"width": [4, 8]}}})
    assert [folder[0] for folder in pretrained(made).values()] == ["phases-width-4", "phases-width-8"]
    assert plan({"swept": {}}).pretrainings == {}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"borrower": {}}, "methods.borrower: translates with models of 'swept', which this run lacks"),
        ({"needs_few": {}, "few": {}}, "a zero-shot method cannot use a model of supervision few-shot"),
        ({"borrower": {"model_of": "few"}, "few": {}}, "'few' has models of 'few', this method needs those of 'swept'"),
        ({"swept": {"model_of": "swep"}}, "no method 'swep'; did you mean 'swept'"),
        (
            {"swept": {}, "b": {"plugin": "swept", "model_of": "swept", "settings": {"width": 3}}},
            "'width' decides the training, which is that of 'swept'; with model_of there may be start",
        ),
        (
            {"swept": {}, "b": {"plugin": "swept", "model_of": "swept"}, "c": {"plugin": "swept", "model_of": "b"}},
            "'b' itself borrows its models",
        ),
        (
            {"swept": {"sweep": {"width": [4, 8]}}, "borrower": {}},
            "'swept' trains 2 models for each target, by its sweep",
        ),
        ({"swept": {"sweep": {"start": []}}}, "methods.swept.sweep: 'start' has no values"),
        ({"swept": {"sweep": {"star": [1]}}}, "did you mean 'start'"),
        ({"swept": {"per_dataset": {"toi": {}}}}, "unknown data set 'toi'; did you mean 'toy'"),
        ({"swept": {"sweep": {"parts": [["a" * 50]]}}}, "longer than 41 characters"),
        ({"copy_source": {"translate_jobs": 3}}, "a control answers for all slices at once"),
    ],
)
def test_what_cannot_be_meant_is_refused(plan, methods, message):
    with pytest.raises(UserError, match=message):
        plan(methods)

"""The plan: cells, paths that show the supervision, and plugins' own settings checked before anything runs."""

import pytest

from tests.plugins import write_dataset, write_method
from xmodbench.errors import UserError
from xmodbench.plan.config import parse_config
from xmodbench.plan.estimate import Estimate
from xmodbench.plan.estimate_text import told
from xmodbench.plan.plan import Plan

DATASET = """
class Config(Settings):
    size: int = 8

class Toy(Dataset):
    Config = Config
    def modalities(self): return ("ct", "mr", "pd")
    def acquire(self, raw_dir, seed, progress): pass
    def volumes(self, raw_dir): return []
"""
PAIRED = """
class Toy(Method):
    supervision = Supervision.PAIRED
    def fit(self, train, run): pass
    def save(self, directory): pass
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""


def fault(case, outcome="one line names the key and the one that was meant"):
    return pytest.mark.fault("config", case, outcome)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path, "toy", DATASET)
    write_method(tmp_path, "zero")
    write_method(tmp_path, "both", PAIRED)

    def make(**changes):
        values = {"run": "r", "datasets": {"toy": {}}, "methods": {"zero": {}, "both": {}}, **changes}
        return Plan(parse_config(values, "c.yaml"), "c.yaml")

    return make


def test_all_directions_by_default(plan):
    made = plan()
    assert len(made.cells) == 6 * 2
    assert {cell.direction for cell in made.cells} >= {"ct-to-mr", "mr-to-ct", "pd-to-ct"}


def test_zero_shot_models_carry_no_source(plan):
    """A new source costs a zero-shot method no training: the plan shows it (design invariant 1)."""
    made = plan(datasets={"toy": {"directions": ["ct->mr", "pd->mr"]}})
    models = {
        method: {made.model_dir(cell) for cell in made.cells if cell.method == method} for method in made.config.methods
    }
    assert [path.name for path in models["zero"]] == ["mr"]
    assert sorted(path.name for path in models["both"]) == ["mr-from-ct", "mr-from-pd"]


CONTROL = """
from xmodbench.plugins import Control
class Toy(Control):
    def answer(self, source, target, subjects, seed): return source
"""
OWN = {"fit": "self, train, run", "save": "self, directory", "load": "self, directory, run"}


def test_controls_are_trained_where_they_keep_something(plan, tmp_path):
    write_method(tmp_path, "bare", CONTROL)
    for name, arguments in OWN.items():
        write_method(tmp_path, f"own_{name}", f"{CONTROL}    def {name}({arguments}): pass\n")
    write_method(tmp_path, "borrowing", CONTROL.replace("def", 'model_plugin = "zero"\n    def', 1))
    owning = [f"own_{name}" for name in OWN]
    made = plan(methods={name: {} for name in ("zero", "bare", *owning, "borrowing")})
    assert {name for _, name in made.trainings} == {"zero", *owning}
    for cell in made.cells:
        model = made.model_dir(cell)
        assert (model is None) == (made.training(cell) is None) == (cell.method == "bare")
        assert model is None or model.parts[-3] == ("zero" if cell.method == "borrowing" else cell.method)
    # a run of nothing else
    assert plan(methods={"bare": {}}).trainings == {}


def test_one_plugin_under_two_ids(plan):
    made = plan(methods={"a": {"plugin": "zero"}, "b": {"plugin": "zero", "label": "B"}})
    assert [made.method_label(name) for name in ("a", "b")] == ["Toy", "B"]
    models = {made.model_dir(cell) for cell in made.cells}
    assert len(models) == 3, "equal trainings are done once"
    assert {path.parts[-3] for path in models} == {"a"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            {"methods": {"zer": {}}},
            r"methods.zer: unknown method; did you mean 'zero'\? \(c.yaml\)",
            marks=fault("a method that does not exist"),
        ),
        ({"methods": {"a": {"plugin": "zer"}}}, r"methods.a.plugin: unknown method; did you mean 'zero'\?"),
        pytest.param(
            {"datasets": {"toi": {}}},
            r"datasets.toi: unknown dataset; did you mean 'toy'\?",
            marks=fault("a data set that does not exist"),
        ),
        ({"datasets": {"toy": {"settings": {"sise": 3}}}}, r"toy.settings.sise: unknown option; did you mean 'size'\?"),
        ({"datasets": {"toy": {"settings": {"size": "x"}}}}, r"datasets.toy.settings.size: .*valid integer"),
        pytest.param(
            {"datasets": {"toy": {"directions": ["ct->xx"]}}},
            r"unknown modality 'xx'; the data set has ct, mr, pd",
            marks=fault("a modality that the data set does not have", "one line names the key and those it has"),
        ),
        ({"datasets": {"toy": {"directions": ["ct->ct"]}}}, r"translates a modality to itself"),
    ],
)
def test_errors_name_the_key(plan, change, expected):
    with pytest.raises(UserError, match=expected):
        plan(**change)


SEVERAL = PAIRED.replace("PAIRED\n", "PAIRED\n    sources = (2, 3)\n")
BOTH_WAYS = {"toy": {"directions": ["ct->mr", "ct+pd->mr"]}}


def test_a_direction_of_several_sources_is_for_methods_that_take_several(plan, tmp_path):
    write_method(tmp_path, "two", SEVERAL)
    made = plan(datasets=BOTH_WAYS, methods={"zero": {}, "two": {}, "copy_source": {}})
    found = [(cell.method, cell.source) for cell in made.cells]
    assert found == [("zero", "ct"), ("copy_source", "ct"), ("two", "ct+pd"), ("copy_source", "ct+pd")]
    (cell,) = [cell for cell in made.cells if cell.method == "two"]
    assert (cell.name, str(made.model_dir(cell))) == ("two.toy.ct+pd-to-mr", "results/r/models/two/toy/mr-from-ct+pd")
    assert made.left_out == {"zero": [("toy", "ct+pd->mr")], "two": [("toy", "ct->mr")]}
    assert "'zero' takes one source modality: not in ct+pd->mr of toy" in told(Estimate(made))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"datasets": BOTH_WAYS}, "c.yaml.*; add one that does, or leave the direction out"),
        ({"methods": {"two": {}}}, "'two' takes 2 to 3 source modalities, and no direction of this run is of so many"),
        ({"datasets": {"toy": {"directions": ["ct+xx->mr"]}}}, r"'ct\+xx->mr' asks for unknown modality 'xx'"),
        ({"datasets": {"toy": {"directions": ["ct+mr->mr"]}}}, "translates a modality to itself"),
        ({"datasets": {"toy": {"directions": ["ct+ct->mr"]}}}, "names a source twice"),
        ({"datasets": {"toy": {"directions": ["ct+pd->mr", "pd+ct->mr"]}}}, "are the same sources"),
        ({"datasets": {"toy": {"directions": ["ct+->mr"]}}}, "must match"),
        ({"datasets": {"toy": {"directions": ["ct + pd->mr"]}}}, "must match"),
    ],
)
def test_sources_that_cannot_be_are_refused(plan, tmp_path, change, expected):
    write_method(tmp_path, "two", SEVERAL)
    with pytest.raises(UserError, match=expected):
        plan(**change)


def test_predictions_of_several_sources(plan, tmp_path):
    write_method(tmp_path, "two", SEVERAL)
    (tmp_path / "theirs").mkdir()
    entry = {"id": "theirs", "folder": "theirs", "dataset": "toy", "direction": "ct+pd->mr"}
    for methods in ({"zero": {}, "two": {}}, {"zero": {}}):  # they may stand there alone
        made = plan(datasets=BOTH_WAYS, methods=methods, predictions=[entry])
        assert [cell.source for cell in made.cells if cell.method == "theirs"] == ["ct+pd"]
        assert "theirs" not in made.left_out

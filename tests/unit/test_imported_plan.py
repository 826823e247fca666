"""Exported models in a config: which one serves what, and what does not fit."""

import pytest

from tests.models import exported_model
from tests.plugins import few_shot, write_dataset, write_method
from tests.unit.test_methods_of_run import BORROWER, SWEPT
from tests.unit.test_plan import DATASET
from xmodbench.errors import UserError
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan

SIZED = DATASET.replace("class ", "class Sized(Settings):\n    image_size: int = 16\n\nclass ", 1).replace(
    "def modalities", "Config = Sized\n    def modalities"
)
TWO = {"toy": {"directions": ["ct->mr", "mr->ct"]}}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path, "toy", SIZED)
    for name, body in {"swept": SWEPT, "borrower": BORROWER, "few": few_shot(SWEPT)}.items():
        write_method(tmp_path, name, body)
    for name in ("mr", "ct"):
        exported_model(
            tmp_path / f"{name}.zip", "swept", name, settings={"width": 4}, translation_settings={"start": 0.25}
        )

    def make(methods, datasets=None):
        datasets = datasets or {"toy": {"directions": ["ct->mr"]}}
        return Plan(parse_config({"run": "r", "datasets": datasets, "methods": methods}, "c.yaml"), "c.yaml")

    return make


def test_a_model_in_the_place_of_a_training(plan):
    made = plan({"swept": {"model": "mr.zip"}, "mine": {"plugin": "swept", "settings": {"width": 4, "start": 0.25}}})
    own, other = (made.methods[name] for name in ("swept", "mine"))
    assert own.settings["toy"] == other.settings["toy"]  # with the options of translation that its run used
    assert [bool(made.trainings["toy", name].models) for name in ("swept", "mine")] == [True, False]
    cells = {cell.method: cell for cell in made.cells}
    assert made.exported(cells["swept"]).card.target == "mr" and made.exported(cells["mine"]) is None
    assert made.trained(made.training(cells["swept"]), cells["swept"]) == {
        "plugin": "swept",
        "seed": 1,
        "settings": {"width": 4},
    }


def test_a_model_for_each_target_or_data_set(plan, tmp_path):
    named = {"models": {"mr": "mr.zip", "ct": {"file": "ct.zip"}}}
    made = plan({"swept": named}, TWO)
    assert {cell.target: made.exported(cell).path.name for cell in made.cells} == {"mr": "mr.zip", "ct": "ct.zip"}
    exported_model(tmp_path / "own.zip", "swept", "mr")
    both = {"toy": {"directions": ["ct->mr"]}, "toy2": {"plugin": "toy", "directions": ["ct->mr"]}}
    made = plan({"swept": {"models": {"mr": "mr.zip", "toy2/mr": "own.zip"}}}, both)
    assert {cell.dataset: made.exported(cell).path.name for cell in made.cells} == {"toy": "mr.zip", "toy2": "own.zip"}


def test_a_model_for_a_direction(plan, tmp_path):
    exported_model(tmp_path / "few.zip", "few", "mr", source="ct", supervision="few-shot")
    made = plan({"few": {"models": {"ct->mr": "few.zip"}}})
    assert made.model_dir(made.cells[0]).name == "mr-from-ct"
    with pytest.raises(UserError, match=r"few.zip translates to 'mr' from 'ct', 'toy' needs a model for 'ct-from-mr'"):
        plan({"few": {"models": {"ct->mr": "few.zip", "mr->ct": "few.zip"}}}, TWO)


def test_imported_models_are_lent_like_others(plan):
    lent = {"b": {"plugin": "swept", "model_of": "swept", "settings": {"start": 0.9}}, "borrower": {}}
    made = plan({"swept": {"model": "mr.zip"}, **lent})
    assert {name: method.trainings["toy"].name for name, method in made.methods.items()} == dict.fromkeys(
        made.methods, "swept"
    )
    assert (made.methods["b"].settings["toy"].width, made.methods["b"].settings["toy"].start) == (4, 0.9)
    alone = plan({"borrower": {"model": "mr.zip"}})
    assert alone.methods["borrower"].trainings["toy"].plugin.id == "swept"
    swept = plan({"swept": {"model": "mr.zip", "sweep": {"start": [0.1, 0.2]}}})
    assert [swept.methods[name].settings["toy"].start for name in swept.methods] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("entry", "datasets", "problem"),
    [
        ({"model": "none.zip"}, None, r"methods.swept.model: none.zip: no such file \(c.yaml\)"),
        ({"model": "c.yaml"}, None, "methods.swept.model: c.yaml: no zip, or a damaged one"),
        ({"model": "ct.zip"}, None, r"methods.swept: ct.zip translates to 'ct', 'toy' needs a model for 'mr'"),
        (
            {"model": "mr.zip"},
            TWO,
            r"'toy' needs 2 models and `model` names one .*; write `models: {mr: ..., ct: ...}`",
        ),
        ({"models": {"mr": "mr.zip"}}, TWO, r"methods.swept.models: no model for 'ct' of 'toy'"),
        (
            {"models": {"mr": "mr.zip", "ct": "ct.zip"}},
            None,
            r"models.ct: nothing here is translated by it; this run needs mr",
        ),
        (
            {"models": {"toi/mr": "mr.zip"}},
            None,
            r"models.toi/mr: nothing here is translated by it; did you mean 'toy/mr'",
        ),
        ({"models": {"mr": "mr.zip", "ct": "other.zip"}}, TWO, "other.zip was trained with other settings than mr.zip"),
        ({"model": "big.zip"}, None, r"big.zip is of 64 x 64 pixels, 'toy' is prepared to 16 x 16; set image_size"),
        ({"model": "paired.zip"}, None, "paired.zip was trained paired, 'swept' is zero-shot"),
        ({"model": "few.zip"}, None, "few.zip is a model of 'few', this method needs one of 'swept'"),
        ({"model": "wrong.zip"}, None, "methods.swept.settings.width: "),
        (
            {"model": {"file": "mr.zip", "sha256": "0" * 64}},
            None,
            r"methods.swept.model.sha256: mr.zip has SHA-256 [0-9a-f]{64}, not",
        ),
        ({"model": {"file": "mr.zip", "sha256": "abc"}}, None, "methods.swept.model.sha256: 'abc' must match"),
        ({"model": {"path": "mr.zip"}}, None, "methods.swept.model.path: unknown option"),
        ({"model": 7}, None, "methods.swept.model: "),
        ({"models": {"../mr": "mr.zip"}}, None, "must match"),
        ({"model": "mr.zip", "models": {"mr": "mr.zip"}}, None, "methods.swept: give one of model and models"),
        ({"model": "mr.zip", "model_of": "swept"}, None, "methods.swept: give one of model and model_of"),
        (
            {"model": "mr.zip", "settings": {"width": 8}},
            None,
            "'width' decides the training, which is that of the model",
        ),
        (
            {"model": "mr.zip", "sweep": {"width": [4, 8]}},
            None,
            "'width' decides the training, which is that of the model",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(plan, tmp_path, entry, datasets, problem):
    (tmp_path / "c.yaml").write_text("run: r\n")
    exported_model(tmp_path / "other.zip", "swept", "ct", settings={"width": 8})
    exported_model(tmp_path / "big.zip", "swept", "mr", shape=[64, 64])
    exported_model(tmp_path / "paired.zip", "swept", "mr", supervision="paired")
    exported_model(tmp_path / "few.zip", "few", "mr")
    exported_model(tmp_path / "wrong.zip", "swept", "mr", settings={"width": "wide"})
    with pytest.raises(UserError, match=problem) as found:
        plan({"swept": entry}, datasets)
    assert "\n" not in str(found.value)


def test_a_borrower_must_not_use_what_has_seen_more(plan, tmp_path):
    write_method(tmp_path, "needs_few", BORROWER.replace('"swept"', '"few"'))
    exported_model(tmp_path / "few.zip", "few", "mr", source="ct", supervision="few-shot")
    with pytest.raises(UserError, match="a zero-shot method cannot use a model of supervision few-shot"):
        plan({"needs_few": {"models": {"ct->mr": "few.zip"}}})


def test_a_model_of_several_sources(plan, tmp_path):
    write_method(tmp_path, "two", SWEPT.replace("ZERO_SHOT\n", "PAIRED\n    sources = (2, 2)\n"))
    exported_model(tmp_path / "two.zip", "two", "mr", source="ct+pd", supervision="paired", settings={"width": 4})
    directions = {"toy": {"directions": ["ct->mr", "ct+pd->mr"]}}
    for entry in ({"model": "two.zip"}, {"models": {"ct+pd->mr": "two.zip"}}, {"models": {"toy/ct+pd->mr": "two.zip"}}):
        made = plan({"two": entry, "borrower": {}, "swept": {}}, directions)
        (cell,) = [cell for cell in made.cells if cell.method == "two"]
        assert made.model_name(cell) == "mr-from-ct+pd" and made.exported(cell).card.source == "ct+pd"
    with pytest.raises(UserError, match=r"did you mean 'ct\+pd->mr'"):
        plan({"two": {"models": {"pd+ct->mr": "two.zip"}}, "swept": {}}, directions)

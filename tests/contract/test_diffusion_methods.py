"""MIDiffusion and SDEdit as plugins: presets, learning, resuming after a kill, and what bad settings say."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from xmodbench.errors import UserError
from xmodbench.learning.diffusion.samplers import image_noise
from xmodbench.learning.diffusion.schedules import Process
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.settings import validated
from xmodbench.seeding import ImageGenerator

TINY = {"preset": "short", "width": 8, "batch_size": 4, "sampling_steps": 5, "dropout": 0.1}
JOB = """
import json, sys
from pathlib import Path
from xmodbench.plugins.check import phantom
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.progress import Progress

name, settings, state, out = sys.argv[1:]
plugin = find(METHODS, name)
method = plugin.cls(plugin.cls.Config(**json.loads(settings)))
method.fit(TrainData(phantom(8, 1)), Run(3, "cpu", Path(state), Progress(quiet=True)))
Path(out).mkdir()
method.save(Path(out))
"""


def made(name, **settings):
    plugin = find(METHODS, name)
    return plugin.cls(validated(plugin.cls.Config, settings, "test"))


def run(folder, quiet, seed=3):
    return Run(seed, "cpu", Path(folder), quiet)


@pytest.mark.parametrize("name", ["midiffusion", "sdedit"])
def test_presets_resolve_to_complete_settings(name):
    config = find(METHODS, name).cls.Config
    for preset in config.PRESETS:
        resolved = config(preset=preset).resolved()
        missing = {key for key, value in resolved if value is None} - {"iterations", "epochs"}
        assert not missing, (preset, missing)
        assert resolved.iterations or resolved.epochs or resolved.held_out  # which then say how long
        assert config(**resolved.model_dump()).resolved() == resolved
    assert config(preset="short", learning_rate=0.5).resolved().learning_rate == 0.5


def test_the_papers_form_is_the_papers():
    """What it states (Eq. 4, 5, 8 and 12, Alg. 1); what it leaves open stands in docs/reproduction.md."""
    found = find(METHODS, "midiffusion").cls.Config(preset="paper_ve").resolved()
    want = {
        **{"process": "ve", "prediction": "score", "weighting": "score", "time_shift": 0, "flip": 0.0, "blur": 0.0},
        **{"sampler": "euler_maruyama", "final_noise": True, "augment_test": False},
        **{"search": "shift", "reduce": "max", "normalise_train": False, "normalise_sample": False},
    }
    assert {name: getattr(found, name) for name in want} == want
    assert found.log_base == pytest.approx(2.718281828)


@pytest.mark.parametrize("preset", ["released", "released_consistent", "paper_ve", "short"])
def test_the_adm_network_has_no_dropout_unless_asked_for(preset):
    config = find(METHODS, "midiffusion").cls.Config
    assert config(preset=preset, network="adm").resolved().dropout == 0
    assert config(preset=preset, network="adm", dropout=0.2).resolved().dropout == 0.2
    assert config(preset=preset).resolved().dropout == (0.0 if preset == "short" else 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"process": "ve", "sampler": "ancestral"}, "sampler 'ancestral' is not for process 've'"),
        ({"sampler": "ddim", "sampling_steps": 30}, "must divide timesteps"),
        ({"sampler": "ddim", "sampling_steps": 20, "spacing": "karras"}, "use dpmpp_2m, unipc or heun"),
        ({"sampling_steps": 2000}, "more than timesteps"),
        ({"beta_start": 0.5}, "the schedule must rise"),
        ({"learning_rat": 1}, "did you mean 'learning_rate'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        made("midiffusion", **settings)


@pytest.mark.parametrize("name", ["midiffusion", "sdedit"])
def test_short_training_learns(name, tmp_path, quiet):
    method = made(name, **{**TINY, "iterations": 120, "dropout": 0.0, "batch_size": 8})
    method.fit(TrainData(phantom(8, 1)), run(tmp_path, quiet))
    losses = [row[1] for row in method.log.rows]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    method.save(tmp_path)
    lines = (tmp_path / "loss.csv").read_text().splitlines()
    assert lines[0] == "step,loss,gradient_norm,learning_rate"
    assert len(lines) == 121
    assert json.loads((tmp_path / "model.json").read_text())["settings"]["prediction"] == "v"


def test_loss_that_blows_up_is_one_clear_line(tmp_path, quiet):
    method = made("sdedit", **{**TINY, "iterations": 5})
    images = phantom(8, 1)
    images[:] = np.nan
    with pytest.raises(UserError, match="'loss' is not finite by step 1"):
        method.fit(TrainData(images), run(tmp_path, quiet))


@pytest.mark.fault(
    "checkpoints",
    "a training is killed (SIGKILL) or stopped (SIGTERM), and started again",
    "resumed; ends with the same bits as one that was not (CPU)",
)
@pytest.mark.parametrize(("name", "how"), [("midiffusion", signal.SIGKILL), ("sdedit", signal.SIGTERM)])
@pytest.mark.slow
def test_killed_training_resumes_and_ends_with_the_same_bits(name, how, tmp_path):
    settings = {**TINY, "iterations": 40, "checkpoint_s": 1e-3}
    once, again = tmp_path / "once", tmp_path / "again"

    def job(state, out):
        command = [sys.executable, "-c", JOB, name, json.dumps(settings), str(state), str(out)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    whole = job(tmp_path / "state-1", once)
    state = tmp_path / "state-2" / "diffusion" / "state.json"
    killed = job(tmp_path / "state-2", again)
    for _ in range(30_000):  # a busy machine takes minutes to import torch
        if done(state) >= 5 or killed.poll() is not None:
            break
        time.sleep(0.01)
    killed.send_signal(how)
    assert killed.wait(300) == (-9 if how == signal.SIGKILL else 143), killed.stderr.read()
    assert 5 <= done(state) < 40
    assert not again.exists()
    assert whole.wait(300) == 0, whole.stderr.read()
    assert job(tmp_path / "state-2", again).wait(300) == 0
    for file in ("model.safetensors", "loss.csv", "model.json", "snapshots/step-8.png", "snapshots/step-40.png"):
        assert (once / file).read_bytes() == (again / file).read_bytes(), file


def done(state: Path) -> int:
    try:
        return json.loads(state.read_text())["done"]
    except (OSError, ValueError):
        return 0  # being replaced


def test_state_of_other_settings_is_not_resumed(tmp_path, quiet):
    first = made("sdedit", **{**TINY, "iterations": 3, "checkpoint_s": 1e-3})
    first.fit(TrainData(phantom(8, 1)), run(tmp_path, quiet))
    other = made("sdedit", **{**TINY, "iterations": 3, "checkpoint_s": 1e-3, "learning_rate": 1e-4})
    other.fit(TrainData(phantom(8, 1)), run(tmp_path, quiet))
    fresh = made("sdedit", **{**TINY, "iterations": 3, "checkpoint_s": 1e-3, "learning_rate": 1e-4})
    fresh.fit(TrainData(phantom(8, 1)), run(tmp_path / "fresh", quiet))
    assert other.log.rows == fresh.log.rows


def test_damaged_weights_are_named(tmp_path, quiet):
    method = made("sdedit", **{**TINY, "iterations": 1})
    method.fit(TrainData(phantom(8, 1)), run(tmp_path, quiet))
    method.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match=r"model\.safetensors: weights cannot be read"):
        made("sdedit").load(tmp_path, run(tmp_path, quiet))


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "paper_ve", "network": "small", "width": 8, "iterations": 2, "sampling_steps": 3},
        {"preset": "released", "network": "small", "width": 8, "iterations": 2, "sampling_steps": 4},
        {**TINY, "iterations": 2, "channels": ["self"], "accumulation": 2, "channels_last": True},
        {**TINY, "iterations": 2, "sampler": "heun", "out_of_range": "clip", "search": "shift"},
    ],
)
def test_every_way_through_midiffusion_gives_images(change, tmp_path, quiet):
    method = made("midiffusion", **change)
    method.fit(TrainData(phantom(4, 1)), run(tmp_path, quiet))
    source = phantom(2, 2, invert=True)
    generators = [[ImageGenerator.of(1, name) for name in ("a", "b")] for _ in range(2)]
    first, second = (method.translate(source, own) for own in generators)
    assert np.array_equal(first, second)
    assert first.shape == source.shape
    assert np.isfinite(first).all()
    assert first.min() >= 0
    assert first.max() <= 1


def test_sdedit_clips_only_the_last_of_its_passes(monkeypatch):
    """Each pass begins from the last one's result as it is, as in the released code."""
    from xmodbench.learning.diffusion import samplers
    from xmodbench.learning.diffusion.model import DiffusionModel

    settings = made("sdedit", **{**TINY, "repeats": 3}).settings.resolved()
    guides, results = [], []

    def far_out(denoise, process, grid, x):
        results.append(3 * torch.sign(x))  # -1 and 2 in the units of the images
        return results[-1]

    def diffuse(self, clean, t, eps):
        guides.append(clean)
        return clean + eps

    monkeypatch.setattr(samplers, "sampler_of", lambda settings, noise: far_out)
    monkeypatch.setattr(Process, "diffuse", diffuse)
    model = DiffusionModel.new(settings, 1)
    noise = image_noise([ImageGenerator(0)], (8, 8), "cpu")
    found = made("sdedit", **TINY).draw(model, torch.rand(1, 1, 8, 8), noise)
    assert len(guides) == 3
    assert torch.equal(guides[1], results[0])
    assert torch.equal(guides[2], results[1])
    assert torch.equal(found, (results[2] > 0).float())


def test_sdedit_keeps_more_of_the_source_the_less_it_is_noised(tmp_path, quiet):
    distances = []
    for start in (0.02, 0.6):
        method = made("sdedit", **{**TINY, "iterations": 60, "start": start, "sampling_steps": 50})
        method.fit(TrainData(phantom(8, 1)), run(tmp_path / str(start), quiet))
        source = phantom(3, 2, invert=True)
        found = method.translate(source, [ImageGenerator.of(1, str(k)) for k in range(3)])
        distances.append(float(np.abs(found - source).mean()))
    assert distances[0] < 0.1 < distances[1]

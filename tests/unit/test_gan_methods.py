"""CycleGAN, pix2pix and CUT: defaults, learning, resuming after a kill, and what bad input says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.gan import METHOD_IDS, OWN, TINY, left_of_copying, made
from tests.paired import Interrupted
from xmodbench.errors import UserError
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.check import phantom
from xmodbench.progress import Progress
from xmodbench.seeding import ImageGenerator


def run(folder, progress):
    return Run(3, "cpu", Path(folder), progress)


def slices(n, seed, invert=False):
    """Of 36 x 36 pixels, which no network halves six times without padding."""
    return np.pad(phantom(n, seed, invert), ((0, 0), (0, 0), (2, 2), (2, 2)))


def data(n=8):
    return TrainData(target=slices(n, 1), source=slices(n, 1, invert=True))


# -- settings -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", METHOD_IDS)
def test_presets_resolve_to_complete_settings(name):
    config = find(METHODS, name).cls.Config
    for preset in config.PRESETS:
        resolved = config(preset=preset).resolved()
        missing = {key for key, value in resolved if value is None} - {"iterations", "slices", "depth"}
        assert not missing, (preset, missing)
        assert config(**resolved.model_dump()).resolved() == resolved


@pytest.mark.parametrize("name", METHOD_IDS)
def test_defaults_are_the_published_ones(name):
    s = find(METHODS, name).cls.Config().resolved()
    assert (s.width, s.discriminator_width, s.discriminator_layers, s.init_gain) == (64, 64, 3, 0.02)
    assert (s.learning_rate, s.beta1, s.batch_size, s.flip, s.iterations) == (2e-4, 0.5, 1, 0.5, None)
    assert s.zoom * 256 == 286
    if name == "cyclegan":
        assert (s.blocks, s.cycle, s.identity, s.pool_size, s.epochs, s.decay_epochs) == (9, 10, 0.5, 50, 100, 100)
    elif name == "pix2pix":
        assert (s.norm, s.l1, s.test_dropout, s.epochs, s.decay_epochs) == ("batch", 100, True, 100, 100)
    else:
        assert (s.blocks, s.nce, s.nce_identity, s.flip_equivariance) == (9, 1, True, False)
        assert (s.temperature, s.patches, s.projection_width, s.epochs, s.decay_epochs) == (0.07, 256, 256, 200, 200)
        fast = type(s)(preset="fastcut").resolved()
        assert (fast.nce, fast.nce_identity, fast.flip_equivariance) == (10, False, True)
        assert (fast.epochs, fast.decay_epochs) == (150, 50)


# -- training -------------------------------------------------------------------------------------------------------------
OUTPUTS = {"model.safetensors", "model.json", "loss.csv"}


def files(method, folder):
    folder.mkdir()
    method.save(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("name", METHOD_IDS)
def test_interrupted_training_ends_with_the_same_bits(name, tmp_path, quiet):
    whole, parts = made(name, iterations=9, batch_size=2), made(name, iterations=9, batch_size=2)
    whole.fit(data(), run(tmp_path / "a", quiet))
    for step in (3, 7):
        with pytest.raises(InterruptedError):
            parts.fit(data(), run(tmp_path / "b", Interrupted(step)))
    parts.fit(data(), run(tmp_path / "b", quiet))
    assert files(whole, tmp_path / "whole") == files(parts, tmp_path / "parts")
    assert set(files(whole, tmp_path / "again")) == OUTPUTS | {f"snapshots/step-{n}.png" for n in (2, 4, 5, 7, 9)}
    lines = (tmp_path / "whole" / "loss.csv").read_text().splitlines()
    assert lines[0].startswith("step,adversarial,") and lines[0].endswith(",learning_rate")
    assert len(lines) == 10


class Terminated(Progress):
    """Gets SIGTERM in the given step."""

    def track(self, items, label, total=None, start=0):
        for item in items:
            if item == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            yield item


def test_a_job_told_to_stop_saves_its_last_step(tmp_path, quiet):
    whole, parts = made("cyclegan", iterations=9), made("cyclegan", iterations=9, checkpoint_s=300)
    whole.fit(data(), run(tmp_path / "a", quiet))
    with pytest.raises(SystemExit, match="143"):
        parts.fit(data(), run(tmp_path / "b", Terminated(quiet=True)))
    assert done(tmp_path / "b" / "gan" / "state.json") == 5
    parts.fit(data(), run(tmp_path / "b", quiet))
    for name in ("model.safetensors", "loss.csv"):
        assert files(whole, tmp_path / f"w{name}")[name] == files(parts, tmp_path / f"p{name}")[name]


JOB = """
import json, sys
from pathlib import Path
import numpy as np
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.progress import Progress

settings, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
data = TrainData(np.load(folder / "target.npy"), np.load(folder / "source.npy"))
plugin = find(METHODS, "cyclegan")
plugin.cls(plugin.cls.Config(**settings)).fit(data, Run(3, "cpu", folder / "state", Progress(quiet=True)))
"""


def test_killed_training_resumes_and_ends_with_the_same_bits(tmp_path, quiet):
    np.save(tmp_path / "target.npy", data().target)
    np.save(tmp_path / "source.npy", data().source)
    given = json.dumps({**TINY, **OWN["cyclegan"], "iterations": 40})
    killed = subprocess.Popen([sys.executable, "-c", JOB, given, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    state = tmp_path / "state" / "gan" / "state.json"
    for _ in range(6000):
        if done(state) >= 5 or killed.poll() is not None:
            break
        time.sleep(0.005)
    killed.kill()
    assert killed.wait(300) == -signal.SIGKILL, killed.stderr.read()
    assert 5 <= done(state) < 40
    whole, resumed = made("cyclegan", iterations=40), made("cyclegan", iterations=40)
    whole.fit(data(), run(tmp_path / "whole", quiet))
    resumed.fit(data(), run(tmp_path / "state", quiet))
    assert files(whole, tmp_path / "a") == files(resumed, tmp_path / "b")


def done(state: Path) -> int:
    try:
        return json.loads(state.read_text())["done"]
    except (OSError, ValueError):
        return 0  # being replaced


def test_state_of_other_settings_is_not_resumed(tmp_path, quiet):
    made("cyclegan", iterations=3).fit(data(), run(tmp_path, quiet))
    other, fresh = (made("cyclegan", iterations=3, identity=0.0) for _ in range(2))
    other.fit(data(), run(tmp_path, quiet))
    fresh.fit(data(), run(tmp_path / "fresh", quiet))
    assert other.model.log.rows == fresh.model.log.rows


@pytest.mark.parametrize("change", [{"checkpoint_s": 300}, {"snapshots": 1}])
def test_what_changes_no_weight_throws_no_training_away(change, tmp_path, quiet):
    with pytest.raises(InterruptedError):
        made("cyclegan", iterations=6).fit(data(), run(tmp_path, Interrupted(4)))
    again = Interrupted(3)  # would die there if it began anew
    made("cyclegan", iterations=6, **change).fit(data(), run(tmp_path, again))


LEARNING = {
    "cyclegan": {"iterations": 80, "blocks": 2, "slices": 8, "pool_size": 50},
    "cut": {
        "iterations": 80,
        "blocks": 2,
        "slices": 8,
        "learning_rate": 2e-3,
        "projection_width": 64,
        "flip_equivariance": False,
    },
    "pix2pix": {"iterations": 120, "depth": 5, "norm": "instance", "test_dropout": False},
}


@pytest.mark.parametrize(("name", "left"), [("cyclegan", 0.3), ("cut", 0.4), ("pix2pix", 0.1)])
def test_learns_a_globally_different_contrast(name, left, tmp_path, quiet):
    method = made(name, width=8, discriminator_width=8, checkpoint_s=300, **LEARNING[name])
    assert left_of_copying(method, run(tmp_path, quiet)) < left


@pytest.mark.parametrize("name", METHOD_IDS)
def test_half_precision_trains_and_resumes(name, tmp_path, quiet):
    method, full = made(name, iterations=3, precision="bf16"), made(name, iterations=3)
    with pytest.raises(InterruptedError):
        method.fit(data(), run(tmp_path / "half", Interrupted(2)))
    method.fit(data(), run(tmp_path / "half", quiet))
    full.fit(data(), run(tmp_path / "full", quiet))
    found, expected = (np.array(one.model.log.rows) for one in (method, full))
    assert (found != expected).any(), "nothing ran in half precision"
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.01)
    assert method.translate(slices(1, 2), [ImageGenerator.of(1, "a")]).dtype == np.float32


# -- what it notes and says -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_losses_are_noted(name, tmp_path, quiet):
    job, method = run(tmp_path / "a", quiet), made(name, iterations=4)
    method.fit(data(), job)
    assert set(job.facts["final_losses"]) == set(method.model.log.names) - {"learning_rate"}


@pytest.mark.parametrize("name", METHOD_IDS)
def test_losses_that_blow_up_are_one_clear_line_and_leave_no_state(name, tmp_path, quiet):
    broken = data()
    broken.target[:] = np.nan
    with pytest.raises(UserError, match=r"training: '\w+' is not finite by step 1; lower learning_rate"):
        made(name, iterations=5).fit(broken, run(tmp_path, quiet))
    assert not (tmp_path / "gan").exists()


def test_slices_too_small_for_the_discriminator_are_refused(tmp_path, quiet):
    small = TrainData(np.zeros((4, 1, 16, 40), np.float32), np.zeros((4, 1, 16, 40), np.float32))
    with pytest.raises(UserError, match="slices of 16 pixels are too small for discriminator_layers 3"):
        made("cyclegan", discriminator_layers=3).fit(small, run(tmp_path, quiet))


def test_more_halvings_than_slices_have_pixels_are_refused(tmp_path, quiet):
    with pytest.raises(UserError, match="depth: slices of 36 pixels are too small for 7 halvings; use at most 6"):
        made("pix2pix", depth=7).fit(data(), run(tmp_path, quiet))


def test_damaged_weights_are_named(tmp_path, quiet):
    method = made("cut", iterations=1)
    method.fit(data(), run(tmp_path, quiet))
    method.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match=r"model\.safetensors: weights cannot be read"):
        made("cut").load(tmp_path, run(tmp_path, quiet))


def test_dropout_of_pix2pix_is_each_slices_own_and_can_be_left_out(tmp_path, quiet):
    method = made("pix2pix", iterations=2)
    method.fit(data(), run(tmp_path, quiet))
    source = np.repeat(slices(1, 2, invert=True), 3, axis=0)
    found = method.translate(source, [ImageGenerator.of(1, name) for name in ("a", "b", "a")])
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])
    still = made("pix2pix", iterations=2, test_dropout=False)
    still.fit(data(), run(tmp_path, quiet))
    found = still.translate(source, [ImageGenerator.of(1, name) for name in ("a", "b", "a")])
    assert np.array_equal(found[0], found[1])

"""The search of CoLog's own documentation, by Ray Tune, with our import line and fewer samples."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[3] / "shared" / "reference" / "colog-neuralnetwork-readme.txt"
NEEDED = ("ray", "fsspec", "pandas", "pyarrow", "requests", "tensorboardX")
"""What `ray.tune` does not import without."""
BEFORE = """
import json, sys

import ray
import torch


def train_function(config, create_model):
    torch.manual_seed(0)
    model = create_model(config, 30, torch.randn(30, 300))
    logits = model(torch.randint(1, 30, (4, 10)), None, torch.randn(4, 5, 384))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1]))
    loss.backward()
    return {"loss": loss.item(), "hidden": model.settings.hidden_size, "rate": model.settings.dropout_rate}


ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
"""
AFTER = """
tuner = tune.Tuner(
    partial(train_function, create_model=create_model),
    param_space=config,
    tune_config=tune.TuneConfig(num_samples=1),
)
print(json.dumps([trial.last_result for trial in analysis.trials] + [tuner.fit()[0].metrics], default=str))
"""


def _documented() -> str:
    """The example, but that it draws two samples and not fifty."""
    if not README.is_file():
        pytest.skip(f"the original's documentation is not beside this checkout ({README})")
    found = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [one for one in found if "tune.choice" in one]
    assert "tune.uniform(0.1, 0.5)" in code
    return str(code).replace("from neuralnetwork import", "from vestige.nn import").replace("=50", "=2")


def test_the_documented_search_runs(tmp_path: Path) -> None:
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"ray.tune needs {', '.join(lacking)}: pip install 'ray[tune]'")
    script = tmp_path / "search.py"
    script.write_text(BEFORE + _documented() + AFTER)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path,
        env={**_environment(), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.strip().splitlines()[-1])
    assert len(results) == 3
    for result in results:
        assert result["loss"] > 0
        assert result["hidden"] == result["config"]["hidden_size"] in {128, 256, 512}
        assert 0.1 <= result["rate"] <= 0.5


def _environment() -> dict[str, str]:
    import os

    quiet = {"RAY_AIR_NEW_OUTPUT": "0", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(sys.path)}

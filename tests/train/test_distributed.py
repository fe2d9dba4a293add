"""The gradient of two workers is that of one, for what the loss itself uses too, and for what teachers say."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import torch
from processes import started
from tiny_loops import MIL_NCE, MODELS, gradients, loop_of

from avs.train.weights import read_weights

WORKER = """
import os, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
import torch
torch.set_num_threads(1)
from tiny_loops import MODELS, gradients, loop_of
from avs.train.distributed import workers_of_environment
from avs.train.weights import write_weights
with workers_of_environment("cpu") as (workers, _):
    for head in MODELS:
        for chunk in (None, 3):
            found = gradients(loop_of(Path({folder!r}), head, chunk, workers=workers))
            if workers.first:
                write_weights(Path({folder!r}) / f"{{head}}-{{chunk}}.safetensors", found)
"""


def test_the_gradient_of_two_workers_is_that_of_one(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    with ExitStack() as running:
        workers = [running.enter_context(started([script], env={**common, "RANK": str(rank)})) for rank in range(2)]
        said = "".join(process.communicate()[1] for process in workers)
        assert [process.returncode for process in workers] == [0, 0], said
    for head in MODELS:
        alone = gradients(loop_of(tmp_path, head, None))
        for chunk in (None, 3):
            together = read_weights(tmp_path / f"{head}-{chunk}.safetensors")
            assert "backbone.clip.logit_scale" in alone or head == "tightTransf"
            assert set(alone) <= set(together) and any(name.startswith("head.") for name in together) == (
                head not in ("meanP", MIL_NCE)
            )
            for name, gradient in alone.items():
                assert gradient.abs().max() > 0 or name.endswith("k_proj.bias"), name
                torch.testing.assert_close(
                    together[name], gradient, rtol=1e-9, atol=1e-12, msg=f"{head} {chunk} {name}"
                )

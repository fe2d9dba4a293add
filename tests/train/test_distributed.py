"""The gradient of two workers is that of one, for what the loss itself uses too."""

from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from processes import started
from tiny_clips import clip_pairs, config_of, make_clip
from tiny_training import trainer

from avs.models.architectures.xclip import XClipConfig
from avs.models.clip4clip import Clip4Clip
from avs.models.xclip import XClip
from avs.train.loop import TrainingLoop
from avs.train.settings import Settings
from avs.train.weights import read_weights

XCLIP = "xclip"  # beside the heads of CLIP4Clip: its loss has matrices

WORKER = """
import os, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {here!r}]
import torch
torch.set_num_threads(1)
from test_distributed import XCLIP, gradients, loop_of
from avs.train.distributed import workers_of_environment
from avs.train.weights import write_weights
with workers_of_environment("cpu") as (workers, _):
    for head in ("meanP", "tightTransf", XCLIP):
        for chunk in (None, 3):
            found = gradients(loop_of(Path({folder!r}), head, chunk, workers=workers))
            if workers.first:
                write_weights(Path({folder!r}) / f"{{head}}-{{chunk}}.safetensors", found)
"""


def loop_of(folder: Path, head: str, chunk: int | None, **options: object) -> TrainingLoop:
    """A training of a CLIP4Clip, or of an X-CLIP, of double precision, whose batch is all pairs."""
    clip = make_clip()
    model = make_xclip(clip) if head == XCLIP else Clip4Clip(config_of(clip, head=head, dropout=0.0))
    model.start_from(clip)
    torch.manual_seed(0)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # the heads of a fresh model give no gradient to some of their parts
    settings = Settings(batch_size=8, chunk=chunk)
    return trainer(folder, settings, model=model.double(), pairs=clip_pairs(), validate=lambda model: {}, **options)


def make_xclip(clip: Any) -> XClip:
    own = {"max_frames": 6, "max_words": 10, "freeze": -1, "layers": 2}
    return XClip(XClipConfig(json.loads(json.dumps(clip.config.to_dict())), **own))


def gradients(loop: TrainingLoop) -> dict[str, torch.Tensor]:
    """Gradient of the loss of the one batch, over all workers."""
    loop.model.train()
    (captions,) = loop.sampler.batches(0)
    loop._backward(loop.pairs.batch(captions))
    loop.workers.add_gradients(loop.model.parameters())
    return {name: one.grad for name, one in loop.model.named_parameters() if one.grad is not None}


def test_the_gradient_of_two_workers_is_that_of_one(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    here = Path(__file__).parent
    script.write_text(WORKER.format(tests=str(here.parent), here=str(here), folder=str(tmp_path)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    with ExitStack() as running:
        workers = [running.enter_context(started([script], env={**common, "RANK": str(rank)})) for rank in range(2)]
        said = "".join(process.communicate()[1] for process in workers)
        assert [process.returncode for process in workers] == [0, 0], said
    for head in ("meanP", "tightTransf", XCLIP):
        alone = gradients(loop_of(tmp_path, head, None))
        for chunk in (None, 3):
            together = read_weights(tmp_path / f"{head}-{chunk}.safetensors")
            assert "backbone.clip.logit_scale" in alone or head == "tightTransf"
            assert set(alone) <= set(together) and any(name.startswith("head.") for name in together) == (
                head != "meanP"
            )
            for name, gradient in alone.items():
                assert gradient.abs().max() > 0 or name.endswith("k_proj.bias"), name
                torch.testing.assert_close(
                    together[name], gradient, rtol=1e-9, atol=1e-12, msg=f"{head} {chunk} {name}"
                )

"""Compiled towers: batches of one size, what is shorter, and what cannot be compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoints import frames

from avs.core.errors import ConfigError
from avs.features import compiled
from avs.features.compiled import CompiledTower
from avs.features.device_queue import EncodingQueue
from avs.features.embedder import CompilableEmbedder, load_embedder


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Towers are traced, but no compiler runs."""
    monkeypatch.setattr(compiled, "BACKEND", "eager")


def test_what_is_short_is_padded_and_cut(interpreted: None) -> None:
    seen: list[tuple[int, ...]] = []

    @torch.compiler.disable
    def note(pixels: torch.Tensor) -> None:
        seen.append(tuple(pixels[:, 0].tolist()))

    def tower(pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        note(pixels)
        return pixels * 2 + mask[:, None]

    compiled_tower = CompiledTower(tower, 4)
    for count in (4, 3, 1):
        pixels, mask = torch.arange(1.0, count + 1)[:, None].repeat(1, 2), torch.ones(count, dtype=torch.bool)
        torch.testing.assert_close(compiled_tower(pixels, mask), pixels * 2 + 1)
    assert seen == [(1, 2, 3, 4), (1, 2, 3, 3), (1, 1, 1, 1)]
    with pytest.raises(ValueError, match="1 rows more than its tower is compiled for"):
        compiled_tower(torch.ones(5, 2), torch.ones(5, dtype=torch.bool))


def test_a_compiled_encoder_is_that_encoder_and_one_shape_is_compiled(
    checkpoints: dict[str, Path], interpreted: None
) -> None:
    plain = load_embedder("clip", weights=checkpoints["clip"])
    fast = load_embedder("clip", weights=checkpoints["clip"])
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    queue = EncodingQueue(fast, 4, compiled=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1, "it is compiled before the first batch"
    for count in (4, 1, 3):
        images, back = plain.preprocess(frames(count)), list[np.ndarray]()
        queue.put([images], back.append)
        np.testing.assert_allclose(back[0], plain.encode_images(images), atol=1e-5)  # type: ignore[union-attr]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that torch's own compiler gives
def test_code_for_a_gpu_gives_the_same_vectors(checkpoints: dict[str, Path]) -> None:
    plain = load_embedder("clip", weights=checkpoints["clip"], device="cuda")
    queue = EncodingQueue(load_embedder("clip", weights=checkpoints["clip"], device="cuda"), 4, compiled=True)
    images, back = plain.preprocess(frames(11)), list[np.ndarray]()
    queue.put([images], back.append)
    queue.flush()
    np.testing.assert_allclose(back[0], plain.encode_images(images), atol=1e-4)  # type: ignore[union-attr]


def test_a_tower_that_cannot_be_compiled_is_an_error_with_the_next_step(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler\nfound " + "x" * 500)

    monkeypatch.setattr(compiled, "BACKEND", backend)
    clip = load_embedder("clip", weights=checkpoints["clip"])
    torch._dynamo.reset()
    with pytest.raises(ConfigError, match="the tower of an encoder cannot be compiled here") as caught:
        EncodingQueue(clip, 4, compiled=True)
    assert caught.value.where == "clip" and "no compiler found" in str(caught.value.got)
    assert len(str(caught.value.got)) < 210 and "leave --compile out" in str(caught.value.next_step)


def test_an_encoder_that_does_not_know_how_is_refused() -> None:
    class Plain:
        class spec:  # noqa: N801
            name = "plain"

    assert not isinstance(Plain(), CompilableEmbedder)
    with pytest.raises(ConfigError, match="the encoder cannot be compiled") as caught:
        EncodingQueue(Plain(), 4, compiled=True)  # type: ignore[arg-type]
    assert caught.value.where == "plain"

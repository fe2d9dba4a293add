"""ir-CSN-152: published names and sizes, what it computes beside a slow implementation, and its clips by the verb."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from published_names import published
from tiny_ircsn import BLOCKS, DIM, SIZE, TINY, make_ircsn, theirs
from tiny_videos import write_film
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from avs.cli.main import main
from avs.core.store import FeatureStore
from avs.features.embedder import ClipEmbedder, load_embedder, read_spec
from avs.features.families.ircsn import APART_S, FRAMES, IrCsnClips, looped


def test_every_published_tensor_has_its_place() -> None:
    converted = IrCsnClips.convert(published("ircsn"))
    ours = IrCsnClips.network(IrCsnClips.published["crop-224"].config).state_dict()
    assert {name: tensor.shape for name, tensor in converted.weights.items()} == {
        name: tensor.shape for name, tensor in ours.items()
    }
    left_out = {name for name in converted.left_out if not name.endswith("num_batches_tracked")}
    assert left_out == {"fc.weight", "fc.bias"}


def test_sizes_are_those_that_vmz_prints() -> None:
    """VMZ, c2/tutorials/test.md: "FLOPs: 96.715669504, params: 29.551744", without those of batch normalisation.

    The clips are 256 pixels high and wide, and the classifier slides over the 2 x 2 places of its window of 7 x 7.
    """
    network = IrCsnClips.network(IrCsnClips.published["crop-224"].config)
    classifier = 400 * 2048
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.ndim == 5)
    assert parameters + classifier == 29_551_744
    for size, macs in ((256, 96_715_669_504 - 4 * classifier), (224, 74_045_425_664), (112, 18_622_078_976)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            assert network(torch.empty(1, 3, FRAMES, size, size, device="meta")).shape == (1, 2048)
        assert counter.get_total_flops() == 2 * macs


def taps(values: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], fill: float) -> list[Tensor]:
    """What each place of a kernel sees: (B, C, f, h, w) for every offset in time, height and width."""
    pad = [side for size in reversed(kernel) for side in (size // 2, size // 2)]
    padded = F.pad(values, pad, value=fill)
    counts = [(size - 1) // step + 1 for size, step in zip(values.shape[2:], stride, strict=True)]
    seen = []
    for offset in product(*map(range, kernel)):
        part = [slice(at, at + (n - 1) * step + 1, step) for at, n, step in zip(offset, counts, stride, strict=True)]
        seen.append(padded[:, :, part[0], part[1], part[2]])
    return seen


def convolved(
    values: Tensor, weight: Tensor, stride: tuple[int, ...] = (1, 1, 1), *, depth_wise: bool = False
) -> Tensor:
    seen = taps(values, tuple(weight.shape[2:]), stride, 0.0)
    parts = zip(seen, weight.flatten(2).unbind(2), strict=True)  # (O, I) or (O, 1) for each tap
    if depth_wise:
        return sum((one * kernel[None, :, 0, None, None, None] for one, kernel in parts), torch.zeros(()))
    return sum((torch.einsum("bifhw,oi->bofhw", one, kernel) for one, kernel in parts), torch.zeros(()))


def normalised(values: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    weight, bias, mean, variance = (
        state[f"{name}.{part}"].reshape(-1, 1, 1, 1) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (values - mean) / torch.sqrt(variance + 1e-3) * weight + bias


def by_hand(clip: Tensor, state: dict[str, Tensor]) -> Tensor:
    """(D,) of a clip (F, 3, S, S), by sums over the taps of each kernel."""
    values = clip.double().transpose(0, 1)[None]
    state = {name: tensor.double() for name, tensor in state.items()}
    values = normalised(convolved(values, state["stem.0.weight"], (1, 2, 2)), state, "stem.1").relu()
    values = torch.stack(taps(values, (1, 3, 3), (1, 2, 2), -torch.inf)).amax(dim=0)
    for stage, blocks in enumerate(BLOCKS, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            step = 2 if stage > 1 and block == 0 else 1
            stride = (step, step, step)
            inner = normalised(convolved(values, state[f"{name}.conv1.0.weight"]), state, f"{name}.conv1.1").relu()
            inner = convolved(inner, state[f"{name}.conv2.0.weight"], stride, depth_wise=True)
            inner = normalised(inner, state, f"{name}.conv2.1").relu()
            inner = normalised(convolved(inner, state[f"{name}.conv3.0.weight"]), state, f"{name}.conv3.1")
            if block == 0:
                shortcut = convolved(values, state[f"{name}.downsample.0.weight"], stride)
                values = normalised(shortcut, state, f"{name}.downsample.1")
            values = (inner + values).relu()
    return values[0].mean(dim=(1, 2, 3)).float()


@torch.no_grad()
def test_it_computes_what_a_slow_implementation_does_and_loops_short_clips(tmp_path: Path) -> None:
    state = theirs()
    family = IrCsnClips(make_ircsn(tmp_path / "ircsn", state), dtype=torch.float32, pooling="mean")
    clips = torch.randn(4, 7, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    given = torch.tensor([7, 1, 3, 5])
    mask = torch.arange(7) < given[:, None]
    seen = [torch.stack([clip[frame % count] for frame in range(7)]) for clip, count in zip(clips, given, strict=True)]
    wanted = torch.stack([by_hand(clip, state) for clip in seen])
    assert wanted.std() > 0.05
    torch.testing.assert_close(family.clips(clips * mask[..., None, None, None], mask), wanted, atol=1e-5, rtol=1e-5)
    whole = torch.ones_like(mask)
    torch.testing.assert_close(family.clips(torch.stack(seen), whole), wanted, atol=1e-5, rtol=1e-5)


def test_padding_is_the_frames_again_from_the_first_on() -> None:
    pixels = torch.tensor([[1, 2, 3, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0], [5, 6, 7, 8, 9, 1, 2, 3]])
    wanted = torch.tensor([[1, 2, 3, 1, 2, 3, 1, 2], [4, 4, 4, 4, 4, 4, 4, 4], [5, 6, 7, 8, 9, 1, 2, 3]])
    assert torch.equal(looped(pixels, pixels > 0), wanted)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_batch_gives_what_its_clips_give_alone(tmp_path: Path, dtype: str) -> None:
    encoder = load_embedder("ircsn", weights=make_ircsn(tmp_path / "ircsn", theirs()), dtype=dtype)
    assert isinstance(encoder, ClipEmbedder)
    clips = torch.randint(0, 256, (2, FRAMES, 3, SIZE, SIZE), dtype=torch.uint8)
    mask = torch.ones(2, FRAMES, dtype=torch.bool)
    mask[0, 5:] = False
    together = encoder.encode_clips(clips, mask)
    alone = np.concatenate([encoder.encode_clips(clips[n : n + 1], mask[n : n + 1]) for n in (0, 1)])
    assert together.shape == (2, DIM)
    assert (together * alone).sum(axis=1).min() > (0.999 if dtype == "bfloat16" else 1 - 1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("variant", "crop", "rule"), [("crop-224", 224, "256"), ("crop-112", 112, "128")])
def test_the_spec_says_the_crop_and_the_clip(tmp_path: Path, variant: str, crop: int, rule: str) -> None:
    known = IrCsnClips.published[variant]
    small = replace(known, config={**TINY.config, "image_size": crop})
    spec = read_spec("ircsn", weights=make_ircsn(tmp_path / "ircsn", theirs(), small), clip_interval_s=APART_S)
    assert (spec.image_size, spec.resize, spec.interpolation) == (crop, f"shortest-edge-{rule}-crop", "bilinear")
    assert spec.mean == (0.43216, 0.394666, 0.37645) and spec.std == (0.22803, 0.22145, 0.216989)
    assert (spec.layer, spec.pooling, spec.activation, spec.dim) == ("avgpool", "mean", "relu", DIM)
    assert (spec.clip_frames, spec.clip_interval_s) == (32, 0.0667)
    assert known.config["image_size"] == crop


def test_shots_of_any_length_are_extracted_by_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = make_ircsn(tmp_path / "weights/ircsn", theirs())
    (tmp_path / "videos").mkdir()
    write_film(tmp_path / "videos/1.mp4", seed=1)
    shots = "shot\tvideo\tstart_s\tend_s\nshot1_1\t1\t0.0\t0.05\nshot1_2\t1\t0.1\t2.0\nshot1_3\t1\t2.0\t6.0\n"
    (tmp_path / "shots.tsv").write_text(shots, encoding="utf-8")
    words = ["--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "-o", tmp_path, "--workers", 0]
    words += ["--model", "ircsn", "--weights", weights, "--level", "shot", "--level", "frame"]
    assert main(["extract-features", *map(str, words)]) == 0
    assert "2 of 5 clips are padded" in capsys.readouterr().err
    clips, whole = (FeatureStore(tmp_path / f"ircsn/{level}") for level in ("frame", "shot"))
    assert [len(clips.frames(shot)) for shot in clips.ids] == [1, 1, 3] and whole.vectors.shape == (3, DIM)
    assert clips.manifest["config"]["sampling"] == {
        "policy": "clips", "interval_s": 0.0667, "frames": 32, "clips_per_shot": 3, "decoder": "PyAV",
    }  # fmt: skip
    assert not np.allclose(*clips.frames("shot1_3")[:2], atol=1e-3)  # a clip of one colour, and one of two
    mean = np.asarray(clips.frames("shot1_3"), dtype=np.float32).mean(axis=0)
    np.testing.assert_allclose(whole.rows(["shot1_3"])[0], mean / np.linalg.norm(mean), atol=2e-3)
    (tmp_path / "topics.txt").write_text("731 a red circle\n", encoding="utf-8")
    search = ["--topics", tmp_path / "topics.txt", "--store", tmp_path / "ircsn/shot", "-o", tmp_path / "lists/"]
    assert main(["search", *map(str, search)]) == 2
    assert "the store has no text side" in capsys.readouterr().err

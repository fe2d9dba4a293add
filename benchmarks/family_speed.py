"""Seconds of an encoder's forward pass, compared with its bare network on the same images, in turn in one process.

    python benchmarks/family_speed.py [--device cuda --dtype bfloat16 --batch 64] [-o FILE]

The networks have the sizes of published ones and random weights: ViT-B/32 (as clip-like), SigLIP-B/16, BEiT-B/16 and
ResNeXt-101 32x8d. The encoder takes uint8 images and gives vectors of length 1; the bare network takes normalised
pixels. On a CPU the seconds are CPU seconds, since other programs run too. The median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from avs.core.artifacts import atomic_write
from avs.features.embedder import load_embedder
from avs.features.families.wsl import Wsl
from avs.features.preprocess import Geometry, Preprocessing, write_preprocessing
from avs.train.weights import write_weights

ROUNDS, MOST_WANTED = 5, 1.05
TOKENS = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
TEXT = {"vocab_size": 2, "num_hidden_layers": 1, **TOKENS}


def clip_like() -> Any:
    from transformers import CLIPConfig, CLIPModel

    return CLIPModel(CLIPConfig(text_config=TEXT))


def siglip() -> Any:
    from transformers import SiglipConfig, SiglipModel

    return SiglipModel(SiglipConfig(text_config=TEXT))


def beit() -> Any:
    from transformers import BeitConfig, BeitModel

    return BeitModel(BeitConfig(use_mean_pooling=True, use_relative_position_bias=True))


def write_wsl(folder: Path) -> None:
    published = Wsl.published["32x8d"]
    weights = {
        name: torch.ones(tensor.shape) if name.endswith("running_var") else torch.randn(tensor.shape) * 0.02
        for name, tensor in Wsl.network(published.config).state_dict().items()
    }
    write_weights(folder / "model.safetensors", weights)
    (folder / "config.json").write_text(json.dumps({"model_type": "wsl", **published.config}), encoding="utf-8")


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<eos>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    tokenizer.save_pretrained(folder)


def image_features(network: Any, pixels: torch.Tensor) -> Any:
    return network.get_image_features(pixel_values=pixels)


ENCODERS: dict[str, tuple[Callable[[], Any] | None, Callable[[Any, torch.Tensor], Any]]] = {
    "clip-like": (clip_like, image_features),
    "siglip": (siglip, image_features),
    "beit": (beit, lambda network, pixels: network(pixel_values=pixels)),
    "wsl": (None, lambda network, pixels: network(pixels)),
}  # family -> its network in transformers, and the bare forward pass


def seconds(job: Callable[[], object], device: str) -> float:
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    start = clock()
    job()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return clock() - start


def measure(name: str, batch: int, device: str, dtype: str) -> dict[str, Any]:
    """Seconds of both passes over a batch, and their ratio."""
    make, forward = ENCODERS[name]
    with TemporaryDirectory() as made:
        folder = Path(made)
        if make is None:
            write_wsl(folder)
        else:
            make().save_pretrained(folder)
            write_tokenizer(folder)
        write_preprocessing(folder, Preprocessing(Geometry(224, 224, "bicubic"), (0.5,) * 3, (0.5,) * 3))
        encoder: Any = load_embedder(name, weights=folder, device=device, dtype=dtype)
    network = encoder._family.module
    images = torch.randint(0, 256, (batch, 3, 224, 224), dtype=torch.uint8)
    pixels = encoder._pixels(images)
    took: dict[str, list[float]] = {"encoder": [], "bare": []}
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):
            took["encoder"].append(seconds(lambda: encoder.encode_images(images), device))
            took["bare"].append(seconds(lambda: forward(network, pixels), device))
    medians = {key: median(values[1:]) for key, values in took.items()}  # the first is to warm up
    return {
        "family": name,
        "million_parameters": round(sum(tensor.numel() for tensor in network.parameters()) / 1e6, 1),
        **{f"{key}_s": round(value, 4) for key, value in medians.items()},
        "encoder_over_bare": round(medians["encoder"] / medians["bare"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/family_speed.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in ENCODERS:
        rows.append(measure(name, options.batch, options.device, options.dtype))
        print(json.dumps(rows[-1]), flush=True)
    on_cuda = options.device.startswith("cuda")
    facts = {
        "what": "seconds of a batch: uint8 images to unit vectors, and normalised pixels through the bare network",
        "clock": "wall" if on_cuda else "CPU, one thread",
        "most_wanted_over_bare": MOST_WANTED,
        "machine": {
            "device": torch.cuda.get_device_name() if on_cuda else platform.processor() or platform.machine(),
            "load_1_min": round(os.getloadavg()[0], 2),
        },
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("torch", "transformers")}},
        "batch": options.batch,
        "dtype": options.dtype,
        "rows": rows,
    }
    with atomic_write(options.output) as file:
        json.dump(facts, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()

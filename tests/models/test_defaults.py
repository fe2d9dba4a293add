"""The defaults are the authors' settings: a published recipe that says nothing trains their system.

LAFF: configs and trainer of ruc-aimc-lab/laff. Dual Encoding: danieljf24/dual_encoding and hybrid_space, sizes of 2021.
"""

from __future__ import annotations

from dataclasses import asdict

from avs.models.architectures import architectures
from avs.models.architectures.dual_encoding import DualEncodingConfig
from avs.models.architectures.laff import LaffConfig
from avs.train.settings import Settings

LAFF = {
    "fusion": "attention",
    "heads": 8, "head_dim": 512, "dropout": 0.2, "batch_norm": False, "no_transform": (), "with_ave": False,
    "max_frames": None, "margin": 0.2, "direction": "t2v", "reduction": "sum", "loss_per_head": True, "legacy": False,
}  # fmt: skip
DUAL_ENCODING = {
    "fusion": "separate", "levels": ("gru", "conv", "mean"), "shared_text": True, "space": 1536, "hidden": 512,
    "kernels": (2, 3, 4, 5), "filters": 512, "text_kernels": (2, 3, 4), "text_filters": 512, "dropout": 0.2,
    "max_frames": 64, "concepts": None, "latent_weight": 0.6, "margin": 0.2, "direction": "both", "reduction": "sum",
    "loss_per_level": True, "legacy": False,
}  # fmt: skip
TRAINING = {
    "optimiser": "rmsprop", "learning_rate": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0,
    "schedule": "plateau", "warm_up": 0.1, "ema": None, "chunk": None, "decay": 0.99,
    "cut": 0.5, "cut_patience": 2, "cut_rest": 0,
    "cut_threshold": 1e-4, "clip_norm": 2.0, "batch_size": 128, "epochs": 80, "patience": 10, "average_last": 10,
    "precision": "float32", "seed": 2, "save_every_s": 600.0, "legacy": False,
}  # fmt: skip


def options(config: object, name: str) -> dict[str, object]:
    return {key: value for key, value in asdict(config).items() if key in architectures.get(name).options}  # type: ignore[call-overload]


def test_laff() -> None:
    assert options(LaffConfig({"clip": 512}, {"bow": 9}), "laff") == LAFF
    assert architectures.get("laff").recipe == {}
    assert asdict(Settings()) == TRAINING


def test_dual_encoding() -> None:
    assert options(DualEncodingConfig({"clip/frame": 512}, {"clip": 512}), "dual-encoding") == DUAL_ENCODING
    authors = architectures.get("dual-encoding").recipe
    own = {"optimiser": "adam", "cut_patience": 0, "cut_rest": 3, "cut_threshold": 0.0, "epochs": 50, "patience": 11}
    assert authors == {"training": own, "validation": {"measure": "SumR"}}
    assert DualEncodingConfig({"clip/frame": 512}, {"clip": 512}, max_frames=1).max_frames == 1  # the least there is

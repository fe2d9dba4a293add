"""Say what an artefact is and what made it; with --env, what this environment can do.

Of a trained model it says what it reads, how it was validated, and how much attention it gives to each feature.
With --provenance it follows what an artefact came from, down to the video files, and says what has changed since.
"""

from __future__ import annotations

import json as json_
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from avs.cli.options import Debug, Json, Quiet

EXAMPLES = """
avs info features/mini-clip/shot
avs info models/laff
avs info lists/x.trec --json
avs info runs/F_M_C_D_TEAM.24_1.xml --provenance
avs info --env
"""

NEEDED_BY = {
    "numpy": "every verb",
    "torch": "extract-features, train-..., search",
    "transformers": "extract-features, train-..., search",
    "matplotlib": "train-... (the curve)",
    "tensorboardX": "train-...",
    "gensim": "the text feature word2vec",
    "av": "shots, extract-features",
    "lxml": "make-run, check-run, eval of XML runs",
    "safetensors": "extract-features, search",
    "pillow": "shots (keyframes), demo",
    "pyyaml": "make-run, check-run",
}


def command(
    artefact: Annotated[
        Path | None,
        typer.Argument(help="A feature store, a trained model, a ranked list, a run file: anything avs made."),
    ] = None,
    provenance: Annotated[
        bool,
        typer.Option("--provenance", help="What it came from, and whether that is as it was; reads the videos again."),
    ] = False,
    env: Annotated[bool, typer.Option("--env", help="Packages and devices instead of an artefact.")] = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import ConfigError

    if env == (artefact is not None):
        raise ConfigError("give an artefact or --env", next_step="avs info PATH, or avs info --env")
    if provenance:
        if artefact is None:
            raise ConfigError("--provenance is of an artefact", next_step="avs info PATH --provenance")
        _print_provenance(artefact, json=json)
        return
    facts = _environment() if artefact is None else _artefact(artefact)
    print(json_.dumps(facts, indent=2) if json else "\n".join(_lines(facts)))


def _print_provenance(path: Path, *, json: bool) -> None:
    from avs.pipeline.provenance import Trail

    trail = Trail([path])
    if json:
        print(json_.dumps(trail.to_json(base=Path()), indent=2))
        return
    for line in trail.lines():
        print(line)
    if trail.broken:
        many = len(trail.broken) > 1
        said = f"{len(trail.broken)} inputs are not what they were" if many else "1 input is not what it was"
        print(f"{said}; the trail ends there")


def _artefact(path: Path) -> dict[str, Any]:
    from avs.core.artifacts import read_manifest, require_path

    manifest = read_manifest(require_path(path, what="artefact"))
    if manifest["type"] == "feature-store":
        from avs.core.store import FeatureStore

        store = FeatureStore(path)
        shape = f"{store.vectors.shape[0]} x {store.vectors.shape[1]} {store.vectors.dtype}"
        manifest["vectors"] = f"{shape}, {len(store)} shots, {store.level} level"
        manifest["problems"] = {problem.shot: f"{problem.status}: {problem.reason}" for problem in store.problems}
    if manifest["type"] in ("checkpoint", "training"):
        manifest = _model(path) | {"made by": manifest}
    return manifest


def _model(path: Path) -> dict[str, Any]:
    """What a checkpoint, or the best one of a training, reads and is worth."""
    from avs.train.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(path)
    facts: dict[str, Any] = {
        "checkpoint": str(checkpoint.folder),
        "architecture": checkpoint.architecture,
        "epoch": checkpoint.epoch,
        "validated on": dict(checkpoint.validation),
        "validation": {name: round(value, 4) for name, value in checkpoint.measures.items()},
        "video features": {name: f"{spec.dim} dimensions" for name, spec in checkpoint.video_features.items()},
        "text features": {feature["name"]: _text_feature(feature) for feature in checkpoint.text_features},
    }
    for side, shares in checkpoint.attention.items():
        ordered = sorted(shares.items(), key=lambda item: -item[1])
        facts[f"{side} attention, mean over {'videos' if side == 'video' else 'texts'} and heads"] = {
            name: f"{share:.4f}" for name, share in ordered
        }
    return facts


def _text_feature(feature: dict[str, Any]) -> str:
    if "vocabulary" in feature:
        return f"{feature['kind']}, {len(feature['vocabulary']['words'])} words"
    return str(feature["kind"])


def _environment() -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for package, verbs in NEEDED_BY.items():
        try:
            facts[package] = f"{version(package)} (for {verbs})"
        except PackageNotFoundError:
            facts[package] = f"missing: pip install {package} (for {verbs})"
    if find_spec("torch"):
        import torch

        cuda = torch.cuda.is_available()
        facts["cuda"] = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}" if cuda else "none"
        facts["cpu threads"] = torch.get_num_threads()
    if find_spec("torchvision"):
        facts["torchvision"] = _torchvision()
    return facts


def _torchvision() -> str:
    """transformers fails to import its models where torchvision is installed but does not fit torch."""
    try:
        import torchvision  # type: ignore[import-not-found]
    except (ImportError, RuntimeError) as error:
        return f"installed but broken ({error}): pip uninstall torchvision, avs does not need it"
    return f"{torchvision.__version__} (not needed)"


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")] if value else [f"{indent}{key}: none"]
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines

"""Say what an artefact is and what made it; with --env, what this environment can do."""

from __future__ import annotations

import json as json_
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from avs.cli.options import Debug, Force, Json, Quiet

EXAMPLES = """
avs info features/mini-clip/shot
avs info lists/x.trec --json
avs info --env
"""

NEEDED_BY = {
    "numpy": "every verb",
    "torch": "extract-features, search",
    "transformers": "extract-features, search",
    "av": "shots, extract-features",
    "lxml": "make-run, check-run, eval of XML runs",
    "safetensors": "extract-features, search",
    "pillow": "shots (keyframes), demo",
    "pyyaml": "make-run, check-run",
}


def command(
    artefact: Annotated[
        Path | None, typer.Argument(help="A feature store, a ranked list, a run file: anything avs made.")
    ] = None,
    env: Annotated[bool, typer.Option("--env", help="Packages and devices instead of an artefact.")] = False,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import ConfigError

    if env == (artefact is not None):
        raise ConfigError("give an artefact or --env", next_step="avs info PATH, or avs info --env")
    facts = _environment() if artefact is None else _artefact(artefact)
    print(json_.dumps(facts, indent=2) if json else "\n".join(_lines(facts)))


def _artefact(path: Path) -> dict[str, Any]:
    from avs.core.artifacts import read_manifest, require_path

    manifest = read_manifest(require_path(path, what="artefact"))
    if manifest["type"] == "feature-store":
        from avs.core.store import FeatureStore

        store = FeatureStore(path)
        shape = f"{store.vectors.shape[0]} x {store.vectors.shape[1]} {store.vectors.dtype}"
        manifest["vectors"] = f"{shape}, {len(store)} shots, {store.level} level"
        manifest["problems"] = {problem.shot: f"{problem.status}: {problem.reason}" for problem in store.problems}
    return manifest


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

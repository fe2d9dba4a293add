"""Weights that somebody chose while looking at a list, kept as a fuser: `avs fuse --fuser` reads it as a fitted one.

Whoever moves a weight until a list looks better has fitted it on the topic of that list. So the manifest names that
topic among those that the fuser was fitted on, and `avs fuse` refuses to fuse it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from avs.core.artifacts import Manifest, fingerprint_input, is_up_to_date, require_place
from avs.fusion.artefact import FILE
from avs.fusion.methods import AVERAGE
from avs.fusion.normalize import Scale
from avs.fusion.plan import FusionPlan
from avs.fusion.pool import DEFAULT_DEPTH
from avs.pipeline.fuse.apply import FUSER_TYPE, write_fitted

WEIGHTED = "weighted"


def save_weights(
    folder: Path, weights: Mapping[str, float], *, topics: Sequence[str], inputs: Mapping[str, Path]
) -> Manifest:
    """Write the fuser of weights by hand; one that is there already is left as it is.

    Args:
        weights: name of a list -> its weight.
        topics: that were looked at.
        inputs: name -> path of what was looked at beside lists, such as judgments.

    Returns:
        Its manifest.

    Raises:
        ConfigError: weights that are negative, not finite or all 0; something else is in the folder.
        ChangedInputsError: another fuser is in the folder.
    """
    names = sorted(weights)
    plan = FusionPlan(WEIGHTED, Scale(), {}, AVERAGE, {name: weights[name] for name in names})
    fuser = plan.fuser(names)
    config = {
        "plan": {**plan.config, "depth": DEFAULT_DEPTH}, "topics": list(topics), "lists": names, "fitted": "by hand",
    }  # fmt: skip
    fingerprints = {name: fingerprint_input(path) for name, path in inputs.items()}
    manifest = Manifest(FUSER_TYPE, config, fingerprints, paths=inputs)
    require_place(folder, FUSER_TYPE, sign=FILE)
    if not is_up_to_date(folder, manifest, force=False):
        folder.mkdir(parents=True, exist_ok=True)
        write_fitted(fuser, folder, manifest)
    return manifest

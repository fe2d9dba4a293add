"""Make a checkpoint of an encoder from the weights that its authors published, for `--model FAMILY --weights FOLDER`.

It is for encoders whose network is part of avs. What transformers reads is given to extract-features as it is.

The file is a state dict: safetensors, or what torch.save writes of tensors alone (.pth, .bin). Other pickles are
refused, and nothing in them is run. A tensor without a counterpart on either side is an error that lists all of them.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import MODEL, OUTPUT, Debug, Force, Json, Quiet

EXAMPLES = """
avs import-weights ig_resnext101_32x48-3e41cc8a.pth --family wsl -o weights/wsl
avs import-weights ig_resnext101_32x8-c38310e5.pth --family wsl --variant 32x8d -o weights/wsl-32x8d
avs import-weights irCSN_152_ig65m_from_scratch_f125286141.pth --family ircsn --variant crop-112 -o weights/ircsn-112
avs import-weights finetune-vicuna7b-v2.pth eva_vit_g.pth blip2_pretrained_flant5xxl.pth --family video-llama -o vl
"""

Weights = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="State dicts, or checkpoint folders, that together hold the weights."),
]
FamilyName = Annotated[
    str, typer.Option("--family", help="Whose weights they are, such as wsl.", rich_help_panel=MODEL)
]
Variant = Annotated[
    str | None,
    typer.Option(
        "--variant", help="Which of the published checkpoints (docs/features.md); default: the first.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the checkpoint.", rich_help_panel=OUTPUT)]


def command(
    weights: Weights,
    family: FamilyName,
    output: Output,
    variant: Variant = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.import_weights import import_weights

    reporter = Reporter(quiet=quiet)
    summary = import_weights(family, weights, output, variant=variant, force=force, reporter=reporter)
    if json:
        print(json_.dumps(summary, indent=2))

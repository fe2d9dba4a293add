"""Write pseudo captions of shots, as V3C1-PC has them, to pre-train a model on.

Each sampled frame of a shot is captioned. Duplicates are dropped, and the captions that CLIP finds most similar to the
shot are kept. The output is a caption file, as the train verbs read it. Run the same command again to resume after a
kill.

A shot without frames, or without a caption, becomes a row of NAME.problems.tsv with its reason.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import (
    MODEL,
    OUTPUT,
    RUNTIME,
    SAMPLING,
    Debug,
    Device,
    Force,
    Frames,
    Json,
    MaxFailed,
    Quiet,
    Shots,
    VideoIds,
    Videos,
)

EXAMPLES = """
avs caption-shots --videos videos/ --shots shots.tsv --model blip-image-captioning-base -o captions.txt
avs caption-shots --videos videos/ --shots shots.tsv --model blip --weights ./my-blip --device cuda -o captions.txt
avs caption-shots --videos videos/ --shots shots.tsv --model git-base-coco --interval 1 --keep 5 -o captions.txt
"""

Output = Annotated[Path, typer.Option("--output", "-o", help="The caption file.", rich_help_panel=OUTPUT)]
CaptionerName = Annotated[
    str,
    typer.Option(
        "--model", help="Captioner (docs/captions.md); or its family, blip, blip2 or git, with --weights.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
CaptionerWeights = Annotated[
    str | None,
    typer.Option(
        "--weights", help="Checkpoint folder, or org/name or org/name@revision of the Hub.", rich_help_panel=MODEL
    ),
]
JudgeName = Annotated[
    str,
    typer.Option(
        "--judge", help="Encoder of images and texts that chooses among captions (docs/features.md).",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
JudgeWeights = Annotated[
    str | None, typer.Option("--judge-weights", help="The same of the judge.", rich_help_panel=MODEL)
]
Beams = Annotated[
    int, typer.Option("--beams", help="Beams of the search for a sentence; 1: greedy.", rich_help_panel=MODEL)
]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", help="Longest caption, in tokens of the captioner.", rich_help_panel=MODEL)
]
ComputeDtype = Annotated[
    str, typer.Option("--compute-dtype", help="float32, bfloat16, or float16 (CUDA only).", rich_help_panel=MODEL)
]
Policy = Annotated[
    str,
    typer.Option(
        "--policy", help="Frames of a shot: interval, uniform, head, tail, middle or keyframes.",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip
Interval = Annotated[
    float,
    typer.Option(
        "--interval", help="Seconds between frames (interval, head, tail; the least for keyframes).",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip
Keep = Annotated[int, typer.Option("--keep", help="Number of captions that are kept per shot.", rich_help_panel=OUTPUT)]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size", help="Number of frames captioned together; the same to resume.", rich_help_panel=RUNTIME
    ),
]


def command(
    videos: Videos,
    shots: Shots,
    model: CaptionerName,
    output: Output,
    weights: CaptionerWeights = None,
    judge: JudgeName = "clip-vit-b32",
    judge_weights: JudgeWeights = None,
    video_ids: VideoIds = "stem",
    policy: Policy = "interval",
    interval: Interval = 0.5,
    frames: Frames = None,
    beams: Beams = 3,
    max_tokens: MaxTokens = 20,
    compute_dtype: ComputeDtype = "float32",
    keep: Keep = 3,
    max_failed: MaxFailed = 0.05,
    device: Device = "cpu",
    batch_size: BatchSize = 32,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import typed
    from avs.core.progress import Reporter
    from avs.features.captioner import Decoding
    from avs.pipeline.pseudo_captions import CaptioningSettings, caption_shots
    from avs.video.sampling import Sampling

    reporter = Reporter(quiet=quiet or json)
    settings = CaptioningSettings(
        model, weights, judge, judge_weights, Sampling(policy, interval, frames), keep, Decoding(beams, max_tokens),
        compute_dtype, batch_size,
    )  # fmt: skip
    summary = caption_shots(
        settings, videos, shots, output,
        video_ids=video_ids, device=device, max_failed=max_failed, force=force, reporter=reporter,
    )  # fmt: skip
    if json:
        print(json_.dumps(summary))
    if "up_to_date" not in summary:
        reporter.suggest(f"avs train-laff --captions {typed(output)} --store STORE -o models/laff")

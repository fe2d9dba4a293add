"""Make a checkpoint of the weights that the authors of a model published, so that it searches as one trained here.

The file is a state dict: safetensors, or what torch.save writes of tensors alone. Other pickles are refused, with the
lines that make a state dict of them. A tensor without a counterpart on either side is an error.

The weights do not hold vocabularies, word vectors, text encoder and tokenizer. docs/import.md says where they are.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import INPUTS, MODEL, OUTPUT, Debug, Force, Json, Quiet

EXAMPLES = """
avs import-checkpoint laff.pt --architecture laff --vocabulary bow=bow.txt --vocabulary gru=gru.txt --word2vec vec500flickr30m --stop-words stopwords_en.txt --text-encoder clip-vit-b32 --option with_ave=false -o models/laff-authors
avs import-checkpoint laff.pt --architecture laff --text-encoder clip-vit-b32 --feature clip_ft=features/clip-ft/shot -o models/laff-clip
avs import-checkpoint laff_ml.pt --architecture laff --vocabulary bow=bow.txt --vocabulary gru=gru.txt --word2vec vec500flickr30m --text-encoder clip-vit-b32 --option max_frames=50 --option with_ave=false -o models/laff-ml
avs import-checkpoint pytorch_model.bin.1 --architecture clip2video --tokenizer clip-vit-b32 --fps 2.5 -o models/c2v
avs import-checkpoint clip4clip.pt --architecture clip4clip --tokenizer clip-vit-b32 -o models/clip4clip-authors
avs import-checkpoint best_model.bin --architecture teachclip --tokenizer clip-vit-b32 -o models/teachclip-authors
"""  # noqa: E501  # a command to copy is one line

Weights = Annotated[Path, typer.Argument(metavar="FILE", help="State dict of the authors.")]
ArchitectureName = Annotated[
    str,
    typer.Option(
        "--architecture",
        help="laff, clip4clip, clip2video, xclip or teachclip: whose the weights are.",
        rich_help_panel=MODEL,
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the checkpoint.", rich_help_panel=OUTPUT)]
VocabularyFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--vocabulary",
        metavar="FEATURE=FILE",
        help="Words of bow, gru or bigru, one per line in the authors' order; repeatable.",
        rich_help_panel=INPUTS,
    ),
]
WordVectors = Annotated[
    Path | None, typer.Option("--word2vec", help="File or BigFile of the word vectors.", rich_help_panel=INPUTS)
]
StopWords = Annotated[
    Path | None,
    typer.Option("--stop-words", help="Stop words that word2vec leaves out; default: avs's.", rich_help_panel=INPUTS),
]
TextEncoder = Annotated[
    str | None,
    typer.Option("--text-encoder", help="Encoder of the CLIP text vectors (catalog name).", rich_help_panel=MODEL),
]
TextEncoderWeights = Annotated[
    str | None,
    typer.Option("--text-encoder-weights", help="Its weights: a folder or a Hub name.", rich_help_panel=MODEL),
]
Tokenizer = Annotated[
    str | None,
    typer.Option("--tokenizer", help="Tokenizer of a CLIP: a folder, or a catalog name.", rich_help_panel=MODEL),
]
FeatureStores = Annotated[
    list[str] | None,
    typer.Option(
        "--feature",
        metavar="NAME=STORE",
        help="Store of a video feature; default: a BigFile whose folder has the feature's name; repeatable.",
        rich_help_panel=INPUTS,
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Option of the architecture that the weights do not show; repeatable.",
        rich_help_panel=MODEL,
    ),
]


Fps = Annotated[
    float | None,
    typer.Option("--fps", help="Frames a second that the training read, of pixels; default 1.", rich_help_panel=MODEL),
]
FramePolicy = Annotated[
    str | None,
    typer.Option(
        "--frame-policy", help="Which frames of a long video it read: linspace (default), head, tail.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
FrameOrder = Annotated[
    str | None,
    typer.Option("--frame-order", help="Their order: normal (default), reversed, shuffled.", rich_help_panel=MODEL),
]


def command(
    weights: Weights,
    architecture: ArchitectureName,
    output: Output,
    vocabulary: VocabularyFiles = None,
    word2vec: WordVectors = None,
    stop_words: StopWords = None,
    text_encoder: TextEncoder = None,
    text_encoder_weights: TextEncoderWeights = None,
    tokenizer: Tokenizer = None,
    feature: FeatureStores = None,
    option: Options = None,
    fps: Fps = None,
    frame_policy: FramePolicy = None,
    frame_order: FrameOrder = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    import yaml

    from avs.core.artifacts import require_path
    from avs.core.named_values import value_by_name
    from avs.core.progress import Reporter
    from avs.pipeline.import_checkpoint import FramesRead, ImportSources, import_checkpoint

    vocabularies = value_by_name(vocabulary or (), "--vocabulary", "FEATURE=FILE")
    sources = ImportSources(
        require_path(weights, what="file of weights"),
        {name: require_path(Path(path)) for name, path in vocabularies.items()},
        word2vec,
        None if stop_words is None else require_path(stop_words),
        text_encoder,
        text_encoder_weights,
        {name: Path(path) for name, path in value_by_name(feature or (), "--feature", "NAME=STORE").items()},
        tokenizer,
        {name: yaml.safe_load(value) for name, value in value_by_name(option or (), "--option", "NAME=VALUE").items()},
        FramesRead(fps, frame_policy, frame_order),
    )
    reporter = Reporter(quiet=quiet)
    summary = import_checkpoint(architecture, sources, output, force=force, reporter=reporter)
    if json:
        print(json_.dumps(summary, indent=2))

"""Mean xinfAP of CLIP4Clip's heads before the first step of training, on the test collections of the mini study.

    python benchmarks/mini_untrained_heads.py --work DIR [-o benchmarks/results/mini_untrained_heads.json]

DIR is that of `mini_pixel_models.py`, which renders the collections and extracts the frames of mini-clip, of raw
length. A head starts as `init` says: "clip", with blocks copied from the text tower, as published; or "zero", at meanP.
90 topics, full judgments, three collections.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from avs.core.artifacts import atomic_write
from avs.core.store import FeatureStore
from avs.features.text.clip_tokens import ClipTokens
from avs.models.architectures import make_config
from avs.models.clip4clip import Clip4Clip
from avs.pipeline.train.backbone import Backbone, open_backbone
from avs.pipeline.train.collections import store_table
from avs.pipeline.train.texts import text_table
from avs.pipeline.train.validation import by_judgments
from avs.train.embed import similarities
from avs.trecvid.qrels import read_qrels
from avs.trecvid.topics import read_topics

HEADS = [("meanP", "clip", 4), *((head, init, layers) for head, layers in (("seqTransf", 4), ("seqTransf", 2),
         ("seqLSTM", 1)) for init in ("clip", "zero"))]  # fmt: skip


def measure(backbone: Backbone, test: Path) -> dict[str, float]:
    """Head, init and blocks -> mean xinfAP on one collection."""
    store = FeatureStore(test / "features/clip/frame")
    topics = read_topics([test / "topics/mini.avs.topics.txt"])
    judge = by_judgments(topics.ids, list(store.ids), read_qrels(test / "qrels/avs.qrels.mini.full"))
    tokens = ClipTokens("clip-tokens", backbone.folder, max_words=32)
    texts = text_table([tokens], [topic.text for topic in topics])
    found = {}
    for head, init, layers in HEADS:
        torch.manual_seed(0)
        inputs = {"video_frames": {"frames": store.spec.dim}, "text": {tokens.name: tokens.dim}}
        options = {**backbone.options(), **inputs, "head": head, "init": init, "layers": layers}
        model = Clip4Clip(make_config("clip4clip", options))
        backbone.start(model)
        scores = similarities(model.eval(), texts, store_table({"frames": store}, list(store.ids)))
        blocks = f", {layers} blocks" if head == "seqTransf" else ""
        found[f"{head}, init {init}{blocks}"] = round(judge(scores)["xinfAP"], 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/mini_untrained_heads.json"))
    options = parser.parse_args()
    backbone = open_backbone("mini-clip")
    result = {
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("avs", "torch", "transformers", "numpy")},
        "xinfAP": {f"seed {seed}": measure(backbone, options.work / f"test{seed}") for seed in (0, 1, 2)},
    }
    with atomic_write(options.output) as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

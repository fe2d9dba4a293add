"""The numbers of videos and captions that the published collections have, to tell a user whose files differ.

A part of a collection is known by the name of its split, or by the name under which its file is published. Nothing is
known of files and splits that were given other names.

Sources: MSR-VTT, Xu et al. (CVPR 2016), with 20 sentences a video; its 1k-A and "9k", JSFusion (Yu et al., ECCV 2018).
MSVD, DiDeMo's lists, ActivityNet Captions and LSMDC's training: the READMEs and lists of Collaborative Experts (Liu et
al., BMVC 2019). LSMDC's validation and test: CLIP-straight (MCPR 2021). DiDeMo's descriptions were counted in the files
of LisaAnne/LocalizingMoments. VATEX, Wang et al. (ICCV 2019), with 10 sentences a video. TGIF, Li et al. (CVPR 2016)
and its lists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from avs.core.captions import CaptionSet


@dataclass(frozen=True, slots=True)
class Part:
    """A published part of a collection.

    Attributes:
        format: that its captions are in.
        split: pattern of the split's name; None: the part is a whole file.
        file: pattern of the file's name without suffix; None: any.
        videos, captions: how many it has; None: not known.
    """

    format: str
    split: str | None
    file: str | None
    videos: int | None
    captions: int | None


PARTS = (
    Part("msrvtt", r"train", None, 6_513, 130_260),
    Part("msrvtt", r"validate", None, 497, 9_940),
    Part("msrvtt", r"test", None, 2_990, 59_800),
    Part("msrvtt", r"train\+validate|msrvtt_train\.7k", None, 7_010, 140_200),
    Part("msrvtt", r"msrvtt_train\.9k", None, 9_000, 180_000),
    Part("msrvtt", r"msrvtt_jsfusion_test", None, 1_000, 20_000),
    Part("msrvtt", None, r"msrvtt_data", 10_000, 200_000),
    Part("msrvtt", None, r"train_val_videodatainfo", 7_010, 140_200),
    Part("msrvtt", None, r"test_videodatainfo", 2_990, 59_800),
    Part("msrvtt-1ka", None, r"msrvtt_jsfusion_test", 1_000, 1_000),
    Part("msvd", r"train_list", None, 1_200, None),
    Part("msvd", r"val_list", None, 100, None),
    Part("msvd", r"test_list", None, 670, None),
    Part("lsmdc", None, r"lsmdc16_annos_training", None, 101_079),
    Part("lsmdc", None, r"lsmdc16_annos_val", None, 7_408),
    Part("lsmdc", None, r"lsmdc16_challenge_1000_publictect", 1_000, 1_000),
    Part("activitynet", None, r"train", 10_009, None),
    Part("activitynet", None, r"val_1", 4_917, None),
    Part("activitynet", None, r"val_2", 4_885, None),
    Part("didemo", None, r"train_data", 8_395, None),
    Part("didemo", None, r"val_data", 1_065, 4_180),
    Part("didemo", None, r"test_data", 1_004, 4_021),
    Part("didemo", r"train_list", r"train_data", 8_392, None),
    Part("didemo", r"val_list", r"val_data", 1_065, 4_180),
    Part("didemo", r"test_list", r"test_data", 1_004, 4_021),
    Part("vatex", None, r"vatex_training_v1\.0", 25_991, 259_910),
    Part("vatex", None, r"vatex_validation_v1\.0", 3_000, 30_000),
    Part("tgif", None, r"tgif-v1\.0", None, 125_782),
    Part("tgif", r"train", r"tgif-v1\.0", 80_000, None),
    Part("tgif", r"val", r"tgif-v1\.0", 10_708, None),
    Part("tgif", r"test", r"tgif-v1\.0", 11_360, None),
)


def remark_on_counts(captions: CaptionSet, *, format: str, path: Path, split: str | None) -> str | None:
    """One line if a known part of a collection has other counts than were published; None if they agree or are unknown.

    Args:
        captions: of the part, all that its file has.
        format, path, split: as they were read; a `split` that is a file goes by its name without suffix.
    """
    part = _known(format, path.stem.lower(), None if split is None else split_name(split).lower())
    counted = (("videos", len(captions.videos)), ("captions", len(captions)))
    published = (part.videos, part.captions) if part else (None, None)
    if all(wanted in (None, count) for (_, count), wanted in zip(counted, published, strict=True)):
        return None
    found = ", ".join(f"{count:,} {noun}" for noun, count in counted)
    wanted = ", ".join(f"{n:,} {noun}" for (noun, _), n in zip(counted, published, strict=True) if n is not None)
    where = path.name if split is None else f"{path.name}, split {split_name(split)}"
    return f"note: {where}: {found}; the published part has {wanted}"


def split_name(split: str) -> str:
    """The name of a split: its own, or that of its file without folder and suffix."""
    return Path(split).stem if Path(split).is_file() else split


def _known(format: str, file: str, split: str | None) -> Part | None:
    for part in PARTS:
        if part.format != format or (part.split is None) != (split is None):
            continue
        named = part.split is None or re.fullmatch(part.split, split or "")
        if named and (part.file is None or re.fullmatch(part.file, file)):
            return part
    return None

"""Captioners: the sentences of transformers' own generate, and checkpoints that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_captioners import make_blip2_captioner, make_blip_captioner, make_git_captioner
from tiny_checkpoints import SIZE, make_blip, make_clip

from avs.core.errors import AvsError, ConfigError
from avs.features.captioner import FAMILIES, Decoding, open_captioner, read_captioners
from avs.features.embedder import load_embedder

MAKERS: dict[str, Callable[[Path], Path]] = {
    "blip": make_blip_captioner, "blip2": make_blip2_captioner, "git": make_git_captioner,
}  # fmt: skip
PICTURES = np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", MAKERS)
def test_captions_are_those_of_transformers_own_processor_and_generate(family: str, beams: int, tmp_path: Path) -> None:
    import transformers
    from PIL import Image

    folder = MAKERS[family](tmp_path / family)
    captioner = open_captioner(family, str(folder)).load(Decoding(beams, 7))
    images = torch.from_numpy(captioner.preprocessing.geometry.apply(PICTURES))
    module = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pixels = processor([Image.fromarray(picture) for picture in PICTURES], return_tensors="pt").pixel_values
    theirs = module.generate(pixel_values=pixels, num_beams=beams, do_sample=False, max_new_tokens=7)
    assert captioner.token_ids(images).tolist() == theirs.tolist()
    assert len({tuple(row) for row in theirs.tolist()}) > 1  # the pictures decide
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert captioner.captions(images) == tokenizer.batch_decode(theirs, skip_special_tokens=True)
    assert captioner.captions(images[:1]) == captioner.captions(images)[:1]


def test_sampling_in_the_checkpoints_own_settings_is_not_used(tmp_path: Path) -> None:
    from transformers import GenerationConfig

    folder = make_git_captioner(tmp_path / "git")  # BLIP's class does not look there
    GenerationConfig(do_sample=True, temperature=5.0, bos_token_id=2, eos_token_id=3).save_pretrained(folder)
    images = torch.from_numpy(PICTURES).permute(0, 3, 1, 2)
    captioner = open_captioner("git", str(folder)).load(Decoding())
    assert captioner.captions(images) == captioner.captions(images)


def test_every_captioner_of_the_catalog_has_a_family() -> None:
    assert {entry.family for entry in read_captioners().values()} == set(FAMILIES) == set(MAKERS)


def refusal(model: str, weights: Path | None) -> str:
    with pytest.raises(AvsError) as caught:
        open_captioner(model, None if weights is None else str(weights)).load(Decoding())
    return str(caught.value)


def test_what_is_no_captioner_is_refused(tmp_path: Path) -> None:
    clip, retrieval = make_clip(tmp_path / "clip"), make_blip(tmp_path / "blip-itm")
    assert "another family than blip" in refusal("blip", clip) and "model_type clip" in refusal("blip", clip)
    assert "not one of BlipForConditionalGeneration" in refusal("blip", retrieval)
    assert 'the captioner "git" needs weights' in refusal("git", None)
    assert 'did you mean "blip-image-captioning-base"?' in refusal("blip-image-caption-base", None)
    assert "no such checkpoint folder" in refusal("blip", tmp_path / "gone")
    with pytest.raises(ConfigError, match="--beams"):
        Decoding(beams=0)
    with pytest.raises(ConfigError, match="--max-tokens"):
        Decoding(max_tokens=0)


def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    folder = make_blip_captioner(tmp_path / "blip")
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    assert "cut short or damaged" in refusal("blip", folder)
    (folder / "preprocessor_config.json").unlink()
    assert "how its images are preprocessed" in refusal("blip", folder)
    (folder / "vocab.txt").unlink()
    assert "the checkpoint has no tokenizer" in refusal("blip", folder)


def test_an_encoder_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = make_clip(tmp_path / "clip")
    (folder / "vocab.json").unlink()
    with pytest.raises(AvsError, match="the checkpoint has no tokenizer"):
        load_embedder("clip", weights=folder)


def test_the_fingerprint_covers_weights_words_and_preprocessing(tmp_path: Path) -> None:
    folder = make_blip_captioner(tmp_path / "a")
    seen = [open_captioner("blip", str(folder)).fingerprint]
    for name, change in (("vocab.txt", b"\n"), ("preprocessor_config.json", b" "), ("generation_config.json", b" ")):
        (folder / name).write_bytes((folder / name).read_bytes() + change)
        seen.append(open_captioner("blip", str(folder)).fingerprint)
    seen.append(open_captioner("blip", str(make_blip_captioner(tmp_path / "b", seed=1))).fingerprint)
    assert len(set(seen)) == len(seen)

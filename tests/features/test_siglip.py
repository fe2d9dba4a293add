"""SigLIP and SigLIP 2: the cosines of the model's own forward pass, its padding, and its tokenizers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_checkpoints import MAX_TOKENS, TEXTS, frames, make_siglip, write_json

from avs.core.errors import ConfigError, MissingDependencyError
from avs.features.embedder import load_embedder, read_spec
from avs.features.families import siglip
from avs.features.families.siglip import Siglip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_siglip(tmp_path / "siglip")


@torch.inference_mode()
def test_it_gives_the_cosines_of_the_model_for_padded_texts(folder: Path) -> None:
    from transformers import SiglipModel

    embedder = load_embedder("siglip", weights=folder)
    model = SiglipModel.from_pretrained(folder).eval()
    images = embedder.preprocess(frames())
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    ids = [[words[word] for word in text.split()] + [words["<eos>"]] for text in TEXTS]
    padded = torch.tensor([row + [words["<pad>"]] * (MAX_TOKENS - len(row)) for row in ids])
    pixels = (images / 255 - 0.5) / 0.5
    logits = model(pixel_values=pixels, input_ids=padded).logits_per_image
    cosines = (logits - model.logit_bias) / model.logit_scale.exp()
    texts = embedder.encode_texts(TEXTS)
    np.testing.assert_allclose(embedder.encode_images(images) @ texts.T, cosines.numpy(), atol=1e-5)
    alone = model.get_text_features(input_ids=torch.tensor([ids[0]]))
    unpadded = torch.nn.functional.normalize(getattr(alone, "pooler_output", alone), dim=-1)
    assert (unpadded.numpy() @ texts[0]).item() < 0.99  # padding is part of what the tower reads


def test_texts_are_lower_case_and_one_that_is_too_long_is_cut(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    embedder = load_embedder("siglip", weights=folder)
    lower, upper = embedder.encode_texts(["a man runs", "A Man runs"])
    np.testing.assert_allclose(lower, upper, atol=1e-6)
    embedder.encode_texts(["a " * MAX_TOKENS])
    assert "text cut by 1 tokens" in caplog.text


def test_its_spec_is_that_of_the_checkpoint(folder: Path) -> None:
    spec = read_spec("siglip", weights=folder)
    assert (spec.dim, spec.resize, spec.interpolation, spec.mean) == (32, "square", "bicubic", (0.5, 0.5, 0.5))
    with pytest.raises(ConfigError, match="the weights are not those of siglip-base-224"):
        read_spec("siglip-base-224", weights=folder)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"model_type": "siglip2"})
    with pytest.raises(ConfigError, match="another family"):
        read_spec("siglip", weights=folder)


def test_a_lacking_sentencepiece_is_named_with_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "SiglipTokenizer"})
    monkeypatch.setattr(siglip, "find_spec", lambda module: None)
    with pytest.raises(MissingDependencyError, match="needs sentencepiece and protobuf") as caught:
        load_embedder("siglip", weights=folder)
    assert caught.value.next_step is not None and "avs[siglip]" in caught.value.next_step
    monkeypatch.setattr(siglip, "find_spec", lambda module: None if module == "sentencepiece" else object())
    with pytest.raises(MissingDependencyError, match="needs sentencepiece$|needs sentencepiece\n"):
        load_embedder("siglip", weights=folder)


def test_the_extra_has_the_packages_that_the_tokenizer_needs() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extra = next(line for line in project.splitlines() if line.startswith("siglip = "))
    assert all(package in extra for package in siglip.SENTENCEPIECE.values())


def test_siglips_own_tokenizer(tmp_path: Path) -> None:
    trainer = pytest.importorskip("sentencepiece", reason='needs sentencepiece: pip install "avs[siglip]"')
    folder = make_siglip(tmp_path / "siglip")
    (tmp_path / "texts").write_text("\n".join([*TEXTS, "a man runs with two dogs and cats"] * 50), encoding="utf-8")
    ids = {"pad_id": -1, "unk_id": 2, "eos_id": 1, "bos_id": -1}
    trainer.SentencePieceTrainer.train(
        input=str(tmp_path / "texts"), model_prefix=str(folder / "spiece"), vocab_size=24, hard_vocab_limit=False, **ids
    )
    described = {"tokenizer_class": "SiglipTokenizer", "model_max_length": MAX_TOKENS, "do_lower_case": True}
    names = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>", "model_input_names": ["input_ids"]}
    write_json(folder / "tokenizer_config.json", described | names)
    (folder / "tokenizer.json").unlink()
    tokenizer = Siglip.tokenizer(folder)
    read = tokenizer(["A man, runs."], padding="max_length", max_length=MAX_TOKENS, truncation=True)["input_ids"][0]
    assert read == tokenizer(["a man runs"], padding="max_length", max_length=MAX_TOKENS)["input_ids"][0]
    assert len(read) == MAX_TOKENS and read[-1] == tokenizer.eos_token_id

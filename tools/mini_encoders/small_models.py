"""Small untrained models, with their tokenizers, in the transformers classes of CLIP, BLIP and BLIP-2."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize

IMAGE_SIZE = 64
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
MAX_TOKENS = 64
_WIDTH, _HEADS, _MLP = 128, 4, 256
_VISION = {
    "hidden_size": _WIDTH, "intermediate_size": _MLP, "num_attention_heads": _HEADS,
    "image_size": IMAGE_SIZE, "patch_size": 8,
}  # fmt: skip
_TEXT = {"hidden_size": _WIDTH, "intermediate_size": _MLP, "num_hidden_layers": 2, "num_attention_heads": _HEADS}


@dataclass(frozen=True, slots=True)
class Encoded:
    """The images or the texts of a batch, encoded.

    Attributes:
        states: (B, W) input of the projection; the helper tasks of pre-training read it.
        vectors: (B, D) of unit length, or (B, Q, D) for the queries of BLIP-2.
        patches: (B, 64, W) last states of the patches of an image; None for texts.
    """

    states: torch.Tensor
    vectors: torch.Tensor
    patches: torch.Tensor | None = None


class SmallClip:
    """CLIPModel, 128 dimensions: pooled and projected outputs."""

    def __init__(self, words: Iterable[str], texts: Sequence[str]) -> None:
        from transformers import CLIPConfig, CLIPModel

        self.tokenizer = clip_tokenizer(texts)
        ids = {"vocab_size": len(self.tokenizer), "bos_token_id": self.tokenizer.bos_token_id}
        ids |= {"eos_token_id": self.tokenizer.eos_token_id, "pad_token_id": self.tokenizer.pad_token_id}
        config = CLIPConfig(
            text_config=_TEXT | ids | {"max_position_embeddings": MAX_TOKENS, "projection_dim": 128},
            vision_config=_VISION | {"num_hidden_layers": 3, "projection_dim": 128},
            projection_dim=128,
        )
        self.model = _untrained(CLIPModel, config)
        _place(self.model.vision_model.embeddings.position_embedding.weight)

    def images(self, pixels: torch.Tensor) -> Encoded:
        seen = self.model.vision_model(pixel_values=pixels)
        vectors = normalize(self.model.visual_projection(seen.pooler_output).float(), dim=-1)
        return Encoded(seen.pooler_output, vectors, seen.last_hidden_state[:, 1:])

    def texts(self, ids: torch.Tensor, mask: torch.Tensor) -> Encoded:
        states = self.model.text_model(input_ids=ids, attention_mask=mask).pooler_output
        return Encoded(states, normalize(self.model.text_projection(states).float(), dim=-1))


class SmallBlip:
    """BlipForImageTextRetrieval, 128 dimensions: class token and first word. Its matching head stays untrained."""

    def __init__(self, words: Iterable[str], texts: Sequence[str]) -> None:
        from transformers import BlipConfig, BlipForImageTextRetrieval

        self.tokenizer = bert_tokenizer(words)
        ids = {"vocab_size": len(self.tokenizer), "pad_token_id": self.tokenizer.pad_token_id}
        ids |= {"bos_token_id": self.tokenizer.cls_token_id, "eos_token_id": self.tokenizer.sep_token_id}
        config = BlipConfig(
            text_config=_TEXT
            | ids
            | {"sep_token_id": ids["eos_token_id"], "max_position_embeddings": MAX_TOKENS, "projection_dim": 128},
            vision_config=_VISION | {"num_hidden_layers": 3},
            image_text_hidden_size=128,
            projection_dim=128,
        )
        self.model = _untrained(BlipForImageTextRetrieval, config)
        _place(self.model.vision_model.embeddings.position_embedding)

    def images(self, pixels: torch.Tensor) -> Encoded:
        seen = self.model.vision_model(pixel_values=pixels).last_hidden_state
        vectors = normalize(self.model.vision_proj(seen[:, 0]).float(), dim=-1)
        return Encoded(seen[:, 0], vectors, seen[:, 1:])

    def texts(self, ids: torch.Tensor, mask: torch.Tensor) -> Encoded:
        states = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        return Encoded(states, normalize(self.model.text_proj(states).float(), dim=-1))


class SmallBlip2:
    """Blip2ForImageTextRetrieval, 8 queries of 96 dimensions by a Q-Former. Its matching head stays untrained."""

    def __init__(self, words: Iterable[str], texts: Sequence[str]) -> None:
        from transformers import Blip2Config, Blip2ForImageTextRetrieval, OPTConfig

        self.tokenizer = bert_tokenizer(words)
        ids = {"vocab_size": len(self.tokenizer), "pad_token_id": self.tokenizer.pad_token_id}
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        unused = OPTConfig(
            vocab_size=8, hidden_size=8, num_hidden_layers=1, ffn_dim=8, num_attention_heads=1, word_embed_proj_dim=8
        )
        config = Blip2Config(
            vision_config=_VISION | {"num_hidden_layers": 3},
            qformer_config=_TEXT | ids | dropout | {
                "max_position_embeddings": MAX_TOKENS, "cross_attention_frequency": 1, "use_qformer_text_input": True,
            },
            text_config=unused.to_dict(),
            num_query_tokens=8,
            image_text_hidden_size=96,
        )  # fmt: skip
        self.model = _untrained(Blip2ForImageTextRetrieval, config)
        _place(self.model.vision_model.embeddings.position_embedding)
        nn.init.normal_(self.model.query_tokens, std=0.5)  # queries that start at zero would stay equal

    def images(self, pixels: torch.Tensor) -> Encoded:
        patches = self.model.vision_model(pixel_values=pixels).last_hidden_state
        queries = self.model.query_tokens.expand(len(pixels), -1, -1)
        states = self.model.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state
        vectors = normalize(self.model.vision_projection(states).float(), dim=-1)
        return Encoded(states.mean(1), vectors, patches[:, 1:])

    def texts(self, ids: torch.Tensor, mask: torch.Tensor) -> Encoded:
        words = self.model.embeddings(input_ids=ids)
        states = self.model.qformer(query_embeds=words, query_length=0, attention_mask=mask).last_hidden_state[:, 0]
        return Encoded(states, normalize(self.model.text_projection(states).float(), dim=-1))


SmallEncoder = SmallClip | SmallBlip | SmallBlip2


def _untrained(model_class: Any, config: Any) -> Any:
    """A model with random weights; attention is the plain implementation, not a fused kernel."""
    return model_class._from_config(config, attn_implementation="eager")


def _place(embedding: torch.Tensor) -> None:
    """Start the learned positions of the patches from sines and cosines of row and column (as in He et al. 2022)."""
    side, quarter = IMAGE_SIZE // 8, _WIDTH // 4
    rates = 1 / 50 ** (torch.arange(quarter) / quarter)
    angles = torch.arange(side)[:, None] * rates  # (8, W/4)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (8, W/2)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    with torch.no_grad():
        embedding.view(-1, _WIDTH)[1:] = 0.3 * torch.cat([rows, columns], dim=2).reshape(-1, _WIDTH)


@torch.no_grad()
def start_from_clip(encoder: SmallEncoder, clip: Path) -> None:
    """Initialise the vision tower of a BLIP or BLIP-2 from that of a trained small CLIP.

    CLIP normalises its embeddings before the first layer, and BLIP does not. The normalisation is therefore folded into
    the embeddings, with one standard deviation for all positions instead of one per position.

    Args:
        clip: folder of the small CLIP, as `save` writes it.
    """
    from transformers import CLIPModel

    source = CLIPModel.from_pretrained(clip, local_files_only=True, dtype=torch.float32).vision_model
    target, norm = encoder.model.vision_model, source.pre_layrnorm
    weights = source.embeddings.patch_embedding.weight  # (W, 3, P, P)
    positions = source.embeddings.position_embedding.weight  # (1 + patches, W)
    # pixels have about unit variance, and the pixels of a patch are nearly equal
    spread = (positions.var(1).mean() + weights.sum((2, 3)).sum(1).var()).sqrt()
    gain = norm.weight / spread
    target.embeddings.patch_embedding.weight.copy_((weights - weights.mean(0)) * gain[:, None, None, None])
    target.embeddings.patch_embedding.bias.zero_()
    centred = positions - positions.mean(1, keepdim=True)
    target.embeddings.position_embedding.copy_((centred * gain + norm.bias)[None])
    token = source.embeddings.class_embedding
    target.embeddings.class_embedding.copy_(((token - token.mean()) * gain).view_as(target.embeddings.class_embedding))
    for theirs, ours in zip(source.encoder.layers, target.encoder.layers, strict=True):
        ours.layer_norm1.load_state_dict(theirs.layer_norm1.state_dict())
        ours.layer_norm2.load_state_dict(theirs.layer_norm2.state_dict())
        ours.mlp.load_state_dict(theirs.mlp.state_dict())
        attention = theirs.self_attn
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        ours.self_attn.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
        ours.self_attn.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
        ours.self_attn.projection.load_state_dict(attention.out_proj.state_dict())
    target.post_layernorm.load_state_dict(source.post_layernorm.state_dict())


def clip_tokenizer(texts: Sequence[str], vocabulary: int = 1000) -> Any:
    """A byte-level BPE tokenizer learned from `texts`; it lower-cases, and can encode any string."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(sorted(texts), trainer)
    learned = json.loads(learner.to_str())["model"]
    letters = sorted(alphabet)
    merges: Any = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in learned["merges"]]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *dict.fromkeys(a + b for a, b in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)


def bert_tokenizer(words: Iterable[str]) -> Any:
    """A tokenizer of whole words; it lower-cases, and a word that is not among `words` becomes [UNK]."""
    from transformers import BertTokenizer

    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocab = {token: index for index, token in enumerate([*specials, *words])}
    return BertTokenizer(vocab=vocab, do_lower_case=True, model_max_length=MAX_TOKENS)


def words_of(texts: Iterable[str], *, at_least: int = 3) -> list[str]:
    """The words and punctuation marks that occur `at_least` times in `texts`, in alphabetical order."""
    counts = Counter(word for text in texts for word in text.lower().replace(",", " , ").split())
    return sorted(word for word, count in counts.items() if count >= at_least)


def save(encoder: SmallEncoder, folder: Path) -> None:
    """Write model, tokenizer and image processor for from_pretrained: float16 on disk, float32 once loaded."""
    import copy

    folder.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(encoder.model).half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    _set_dtype(config)
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    encoder.tokenizer.save_pretrained(folder)
    _image_processor(encoder).save_pretrained(folder)
    if isinstance(encoder, SmallBlip | SmallBlip2):
        ordered = sorted(encoder.tokenizer.get_vocab().items(), key=lambda item: item[1])
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in ordered), encoding="utf-8")


def _set_dtype(config: dict[str, Any]) -> None:
    for key, value in config.items():
        if key in ("dtype", "torch_dtype"):
            config[key] = "float32"
        elif isinstance(value, dict):
            _set_dtype(value)


def _image_processor(encoder: SmallEncoder) -> Any:
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    square = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    shared: dict[str, Any] = {"resample": 3, "image_mean": list(MEAN), "image_std": list(STD)}
    if isinstance(encoder, SmallClip):
        return CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=square, **shared)
    return BlipImageProcessorPil(size=square, **shared)

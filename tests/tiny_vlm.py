"""A vision-language model of the real classes (LLaVA: CLIP's image tower, Llama) with small random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIZE, PATCH = 32, 16
SPECIALS = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
WORDS = "yes Yes no No USER ASSISTANT : Does the shot show a red circle dog two people dance car answer or .".split()
CHAT = (
    "<s>{% for m in messages %}USER : {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT :"
)


def make_tokenizer(words: Sequence[str] = WORDS, *, image_token: str | None = "<image>") -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    entries = dict.fromkeys([*SPECIALS, *words])
    model = Tokenizer(models.WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token="<unk>"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    start = [("<s>", model.token_to_id("<s>"))]
    model.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=start)
    specials = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    more = {"image_token": image_token} if image_token else {}
    return PreTrainedTokenizerFast(tokenizer_object=model, extra_special_tokens=more, **specials)


def make_vlm(folder: Path, *, chat: bool = True, seed: int = 0, words: Sequence[str] = WORDS) -> Path:
    """Write a checkpoint as `save_pretrained` does; returns the folder."""
    import torch
    import transformers
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    # the image processor that needs Pillow alone has a name of its own from transformers 5 on
    pictures = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    tokenizer = make_tokenizer(words)
    processor = LlavaProcessor(
        pictures(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT if chat else None,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    torch.manual_seed(seed)
    tower = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
    wide = {"initializer_range": 0.5}  # so that answers differ
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    text = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=256, **tower, **wide, **ends)
    vision = CLIPVisionConfig(image_size=SIZE, patch_size=PATCH, **tower)
    place = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=place, vision_feature_layer=-1)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def make_single_picture_vlm(folder: Path) -> Path:
    """BLIP-2, which takes one picture per text."""
    import torch
    import transformers
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor

    pictures = getattr(transformers, "BlipImageProcessorPil", None) or transformers.BlipImageProcessor
    tokenizer = make_tokenizer(image_token=None)
    processor = Blip2Processor(pictures(size={"height": SIZE, "width": SIZE}), tokenizer, num_query_tokens=4)
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    heads = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"model_type": "opt", "ffn_dim": 40, "word_embed_proj_dim": 32, "pad_token_id": 3, "init_std": 0.5, **heads}
    config = Blip2Config(
        vision_config={"image_size": SIZE, "patch_size": PATCH, "intermediate_size": 40, **heads},
        qformer_config={"vocab_size": 8, "encoder_hidden_size": 32, "intermediate_size": 40, **heads},
        text_config={"vocab_size": len(processor.tokenizer), **text},
        num_query_tokens=4,
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
    )
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    return folder

"""A yes/no judge: a vision-language model sees the frames of a shot and is asked whether they show the topic.

P(yes) is the probability that the answer begins with a "yes" token, given that it begins with a "yes" or a "no" token.
Nogueira et al. (EMNLP Findings 2020, monoT5) rerank text by the same two-word score. Only the first token is generated.

Every checkpoint of transformers' image-text-to-text classes can be used. Its own chat template writes the prompt, each
frame is an image, and prompts of unequal length are padded on the left, so that a batch gives the same answers as
single questions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.errors import AvsError, ConfigError, MissingDependencyError
from avs.reranking.material import Question

PROMPT = 'These are frames of one video shot, in time order. Does the shot show "{topic}"? Answer yes or no.'
PLACE = "{topic}"
DTYPES = ("float32", "bfloat16", "float16")
ANSWERS = tuple(tuple(form for word in words for form in (word, f" {word}")) for words in (
    ("yes", "Yes", "YES"), ("no", "No", "NO"),
))  # fmt: skip
TEXT_SUFFIXES = (".json", ".jinja", ".txt", ".model")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model with its processor, and the ids of the tokens that begin a yes and a no."""

    model: Any
    processor: Any
    yes: list[int]
    no: list[int]


class VlmJudge:
    """A `Judge`. The model is loaded with the first question; it is not needed when all answers are in the cache.

    Args:
        folder: checkpoint as `save_pretrained` writes it; the weights must be safetensors, pickles are refused.
        weights: fingerprint of the weights.
        prompt: the question; `{topic}` is replaced by the topic's text.
        device: such as "cpu", "cuda:0".
        dtype: float32, bfloat16 or float16.

    Raises:
        ConfigError: the prompt has no `{topic}`, or the dtype is unknown.
    """

    def __init__(
        self, folder: Path, *, weights: str, prompt: str = PROMPT, device: str = "cpu", dtype: str = "float32"
    ) -> None:
        if PLACE not in prompt:
            raise ConfigError(f"the prompt has no {PLACE}: the model would not see the topic", got=prompt)
        if dtype not in DTYPES:
            raise ConfigError("unknown dtype of a judge", got=dtype, wanted=", ".join(DTYPES))
        self.folder, self.prompt, self.device, self.dtype = Path(folder), prompt, device, dtype
        self._weights = weights

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the weights, prompt, dtype, and the files that decide how text and pictures are prepared."""
        digest = hashlib.sha256(repr((self._weights, self.prompt, self.dtype)).encode())
        for path in sorted(self.folder.iterdir()):
            if path.suffix in TEXT_SUFFIXES:
                digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
        return f"vlm {digest.hexdigest()}"

    def judge(self, questions: Sequence[Question]) -> np.ndarray:
        """(B,) float64 P(yes) of each question.

        Raises:
            AvsError: the folder holds no vision-language model that can answer yes or no.
            ConfigError: the model takes one frame, and there are several.
            MissingDependencyError: the processor needs a package that is not installed.
        """
        import torch

        loaded = self._loaded
        inputs = self._inputs(loaded.processor, questions)
        inputs = inputs.to(self.device, getattr(torch, self.dtype))  # casts only floating-point inputs
        with torch.inference_mode():
            # generate, not forward: it sets the positions of padded prompts for every class
            answer = loaded.model.generate(
                **inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
            )
        logits = answer.logits[0].double()
        yes, no = (logits[:, ids].logsumexp(dim=1) for ids in (loaded.yes, loaded.no))
        p_yes: np.ndarray = torch.sigmoid(yes - no).cpu().numpy()
        return p_yes

    def _inputs(self, processor: Any, questions: Sequence[Question]) -> Any:
        from PIL import Image

        texts = [self._text(processor, question) for question in questions]
        images = [[Image.fromarray(frame) for frame in question.frames] for question in questions]
        bos = processor.tokenizer.bos_token
        has_bos = bos is not None and texts[0].startswith(bos)  # written by the chat template
        return processor(text=texts, images=images, padding=True, return_tensors="pt", add_special_tokens=not has_bos)

    def _text(self, processor: Any, question: Question) -> str:
        """The prompt in the form the model was trained with, with a placeholder for every frame."""
        question_text, count = self.prompt.replace(PLACE, question.topic), len(question.frames)
        if getattr(processor, "chat_template", None) is None:
            place = getattr(processor, "image_token", None)
            if isinstance(place, str):
                return f"{place * count}\n{question_text}\n"
            if count > 1:  # BLIP-2's processor puts one picture before each text, and would mix them up
                raise ConfigError(
                    "this model takes one picture per question", where=self.folder, got=count, next_step="--frames 1"
                )
            return question_text
        content = [{"type": "image"}] * count + [{"type": "text", "text": question_text}]
        message = [{"role": "user", "content": content}]
        text: str = processor.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        return text

    @cached_property
    def _loaded(self) -> _Loaded:
        import torch
        import transformers

        processors: Any = transformers.AutoProcessor
        models: Any = transformers.AutoModelForImageTextToText
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            processor = processors.from_pretrained(self.folder, **local)
            model, loading = models.from_pretrained(
                self.folder, dtype=getattr(torch, self.dtype), use_safetensors=True, output_loading_info=True, **local
            )
        except ImportError as error:
            raise MissingDependencyError(
                "the processor of this model needs a package that is not installed",
                where=self.folder,
                got=str(error).strip().splitlines()[0],
            ) from error
        except (OSError, ValueError) as error:
            raise AvsError(
                "not a vision-language model that can be read",
                where=self.folder,
                got=str(error).strip().splitlines()[0],
                wanted="an image-text-to-text model with its processor and safetensors weights",
            ) from error
        self._require_whole(processor, loading)
        processor.tokenizer.padding_side = "left"
        return _Loaded(model.eval().to(self.device), processor, *answer_tokens(processor.tokenizer))

    def _require_whole(self, processor: Any, loading: Any) -> None:
        lacking = sorted({*loading["missing_keys"], *(str(key) for key in loading["mismatched_keys"])})
        if lacking:
            raise AvsError(
                f"the checkpoint lacks {len(lacking)} tensors of its model, which would be random",
                where=self.folder,
                got=f"lacking {', '.join(lacking[:3])}",
            )
        if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
            raise AvsError(
                "the checkpoint has no processor for text and pictures", where=self.folder, got=type(processor).__name__
            )


def answer_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids of the tokens that begin a yes, and of the tokens that begin a no.

    "yes", "Yes" and "YES" are looked up with and without a space before them. A form that begins with an unknown token
    or with a bare space is left out.

    Raises:
        AvsError: there are no such tokens, or a yes begins with the same token as a no.
    """
    yes, no = (sorted({id for form in forms for id in _first(tokenizer, form)}) for forms in ANSWERS)
    if not yes or not no or set(yes) & set(no):
        raise AvsError(
            "the first token does not tell a yes from a no with this tokenizer",
            where=getattr(tokenizer, "name_or_path", None) or type(tokenizer).__name__,
            got=f"yes {tokenizer.convert_ids_to_tokens(yes)}, no {tokenizer.convert_ids_to_tokens(no)}",
            next_step="use another vision-language model",
        )
    return yes, no


def _first(tokenizer: Any, form: str) -> list[int]:
    ids = tokenizer(form, add_special_tokens=False)["input_ids"][:1]
    return [id for id in ids if id != tokenizer.unk_token_id and tokenizer.decode([id]).strip()]

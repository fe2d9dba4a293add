"""A vision-language model as a judge, on a small LLaVA with random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_vlm import WORDS, make_single_picture_vlm, make_tokenizer, make_vlm

from avs.core.errors import AvsError, ConfigError
from avs.reranking.material import Question
from avs.reranking.vlm_judge import PROMPT, VlmJudge, answer_tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vlm(tmp_path_factory.mktemp("chat") / "vlm")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a chat template."""
    return make_vlm(tmp_path_factory.mktemp("plain") / "vlm", chat=False)


def questions() -> list[Question]:
    """Topics of unequal length, one to three frames, of two sizes."""
    rng = np.random.default_rng(0)
    asked = [("a dog", 1, 40), ("a red circle", 2, 64), ("two people dance in the car", 3, 40), ("a dog", 2, 40)]
    return [Question(topic, rng.integers(0, 256, (count, size, 50, 3), dtype=np.uint8)) for topic, count, size in asked]


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


@pytest.mark.parametrize("kind", ["folder", "plain"])
def test_a_batch_is_answered_as_one_by_one(kind: str, request: pytest.FixtureRequest) -> None:
    judge, asked = VlmJudge(request.getfixturevalue(kind), weights="w"), questions()
    together = judge.judge(asked)
    alone = np.concatenate([judge.judge([question]) for question in asked])
    assert together.shape == (4,) and together.dtype == np.float64
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(judge.judge(asked[::-1])[::-1], alone, atol=1e-6)
    assert np.ptp(together) > 1e-3 and ((together > 0) & (together < 1)).all()


def test_it_is_the_share_of_yes_among_the_first_answer_tokens(folder: Path) -> None:
    import torch
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

    question = questions()[1]
    judge = VlmJudge(folder, weights="w")
    processor = LlavaProcessor.from_pretrained(folder)
    text = f"<s>USER : <image> <image> {PROMPT.replace('{topic}', question.topic)} ASSISTANT :"
    inputs = processor(text=text, images=list(question.frames), return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        logits = LlavaForConditionalGeneration.from_pretrained(folder).eval()(**inputs).logits[0, -1]
    share = dict(zip(range(len(logits)), logits.softmax(0).tolist(), strict=True))
    ids = {word: processor.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "Yes", "no", "No")}
    yes, no = share[ids["yes"]] + share[ids["Yes"]], share[ids["no"]] + share[ids["No"]]
    np.testing.assert_allclose(judge.judge([question]), [yes / (yes + no)], atol=1e-6)


def test_topic_and_pictures_decide(folder: Path) -> None:
    judge, (first, second, *_) = VlmJudge(folder, weights="w"), questions()
    asked = [first, Question(second.topic, first.frames), Question(first.topic, second.frames)]
    assert len(set(judge.judge(asked).round(6).tolist())) == 3


def test_the_fingerprint_tells_judges_apart(folder: Path, plain: Path, tmp_path: Path) -> None:
    first = VlmJudge(folder, weights="w").fingerprint
    assert VlmJudge(copy(folder, tmp_path / "same"), weights="w", device="cuda:0").fingerprint == first
    edited = copy(folder, tmp_path / "edited")
    (edited / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    others = [
        VlmJudge(folder, weights="w", prompt="Is {topic} seen?"),
        VlmJudge(folder, weights="w", dtype="bfloat16"),
        VlmJudge(folder, weights="v"),
        VlmJudge(edited, weights="w"),
        VlmJudge(plain, weights="w"),
    ]
    assert len({first, *(judge.fingerprint for judge in others)}) == 6


def test_bfloat16_is_near_float32(folder: Path) -> None:
    asked = questions()
    exact = VlmJudge(folder, weights="w").judge(asked)
    np.testing.assert_allclose(VlmJudge(folder, weights="w", dtype="bfloat16").judge(asked), exact, atol=0.1)


def test_a_model_of_one_picture_is_not_given_several(tmp_path: Path) -> None:
    judge = VlmJudge(make_single_picture_vlm(tmp_path / "vlm"), weights="w")
    one = [Question(question.topic, question.frames[:1]) for question in questions()]
    alone = np.concatenate([judge.judge([question]) for question in one])
    np.testing.assert_allclose(judge.judge(one), alone, atol=1e-5)
    with pytest.raises(ConfigError, match="this model takes one picture per question") as caught:
        judge.judge(questions())
    assert caught.value.next_step == "--frames 1"


def test_every_way_to_begin_an_answer_counts() -> None:
    tokenizer = make_tokenizer()
    yes, no = answer_tokens(tokenizer)
    assert tokenizer.convert_ids_to_tokens(yes) == ["yes", "Yes"]
    assert tokenizer.convert_ids_to_tokens(no) == ["no", "No"]


def test_a_tokenizer_whose_yes_begins_as_its_no_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    model = Tokenizer(models.WordLevel({"<unk>": 0, "^": 1, "yes": 2, "no": 3}, unk_token="<unk>"))
    marks = pre_tokenizers.Metaspace(replacement="^", prepend_scheme="always")
    model.pre_tokenizer = pre_tokenizers.Sequence([marks, pre_tokenizers.Split("^", "isolated")])
    with pytest.raises(AvsError, match="the first token does not tell a yes from a no with this tokenizer") as caught:
        answer_tokens(PreTrainedTokenizerFast(tokenizer_object=model, unk_token="<unk>"))
    assert caught.value.got == "yes ['^'], no ['^']"


def test_a_model_that_cannot_say_yes_is_refused(tmp_path: Path) -> None:
    words = [word for word in WORDS if word.lower() != "yes"]
    judge = VlmJudge(make_vlm(tmp_path / "vlm", words=words), weights="w")
    with pytest.raises(AvsError, match="does not tell a yes from a no") as caught:
        judge.judge(questions())
    assert caught.value.got == "yes [], no ['no', 'No']"


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    import torch

    pickled = copy(folder, tmp_path / "vlm")
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(AvsError, match="not a vision-language model that can be read") as caught:
        VlmJudge(pickled, weights="w").judge(questions())
    assert "model.safetensors" in str(caught.value.got)


def test_weights_that_lack_a_tensor_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    lacking = copy(folder, tmp_path / "vlm")
    tensors = load_file(lacking / "model.safetensors")
    tensors.pop(next(name for name in tensors if "lm_head" in name))
    save_file(tensors, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AvsError, match="the checkpoint lacks 1 tensors of its model"):
        VlmJudge(lacking, weights="w").judge(questions())


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    from tiny_checkpoints import make_clip

    with pytest.raises(AvsError, match="not a vision-language model that can be read"):
        VlmJudge(make_clip(tmp_path / "clip"), weights="w").judge(questions())


def test_prompts_and_dtypes_that_will_not_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match="the prompt has no {topic}"):
        VlmJudge(folder, weights="w", prompt="Is it there?")
    with pytest.raises(ConfigError, match="unknown dtype of a judge"):
        VlmJudge(folder, weights="w", dtype="float64")

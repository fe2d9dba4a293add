"""Weights in the layout of the authors' CLIP4Clip: they give the scores that the layout stands for, or an error."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from their_clip4clip import DIM, HEADS, PATCH, SIZE, VISION, WORDS, theirs
from tiny_stores import make_store, shot_ids
from torch import Tensor, nn
from torch.nn import functional as F

import avs
from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.features.embedder import read_spec
from avs.models.architectures import make_config, make_model
from avs.models.batch import Batch, Sequences
from avs.models.clip4clip import Clip4Clip
from avs.models.importers import ForeignWeights, Imported, importers
from avs.pipeline.search.trained import load_trained
from avs.train.checkpoint import read_checkpoint
from avs.trecvid.trec import read_trec, write_trec
from avs.video.sampling import NO_LIMIT

FRAMES = 4
LENGTHS = torch.tensor([4, 1, 3])
MINI = str(Path(make_model.__code__.co_filename).parents[2] / "demo" / "encoders" / "clip")
MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073))[:, None, None]
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711))[:, None, None]


def block_outputs(
    state: dict[str, Tensor], prefix: str, values: Tensor, *, hidden: Tensor | None = None, causal: bool = False,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """(B, L, W) of (B, L, W) values, by torch's attention on the fused projection; `hidden` (B, L) is not attended."""
    width, length = values.shape[2], values.shape[1]
    mask = torch.full((length, length), -torch.inf).triu(1) if causal else None
    for block in range(sum(name.startswith(prefix) and name.endswith("in_proj_bias") for name in state)):
        one = {n.removeprefix(f"{prefix}resblocks.{block}."): v for n, v in state.items()}
        attention = nn.MultiheadAttention(width, width // 64, batch_first=True)
        attention.load_state_dict({n.removeprefix("attn."): v for n, v in one.items() if n.startswith("attn.")})
        first = F.layer_norm(values, (width,), one["ln_1.weight"], one["ln_1.bias"], eps)
        values = values + attention(first, first, first, attn_mask=mask, key_padding_mask=hidden, need_weights=False)[0]
        second = F.layer_norm(values, (width,), one["ln_2.weight"], one["ln_2.bias"], eps)
        second = F.linear(second, one["mlp.c_fc.weight"], one["mlp.c_fc.bias"])
        second = second * torch.sigmoid(1.702 * second)
        values = values + F.linear(second, one["mlp.c_proj.weight"], one["mlp.c_proj.bias"])
    return values


@torch.no_grad()
def their_frames(state: dict[str, Tensor], pixels: Tensor, lengths: Tensor) -> Tensor:
    """(B, F, D) of (B, F, 3, S, S) uint8 pixels; pads are zeros after the normalisation."""
    count = pixels.shape[1]
    real = torch.arange(count) < lengths[:, None]
    scaled = ((pixels / 255 - MEAN) / STD) * real[..., None, None, None]
    if "clip.visual.conv2.weight" in state:
        kernel = state["clip.visual.conv2.weight"]
        patches = F.conv3d(scaled.transpose(1, 2), kernel, stride=(1, PATCH, PATCH), padding=(1, 0, 0)).transpose(1, 2)
        patches = patches.flatten(0, 1)
    else:
        patches = F.conv2d(scaled.flatten(0, 1), state["clip.visual.conv1.weight"], stride=PATCH)
    tokens = patches.flatten(2).transpose(1, 2)
    tokens = torch.cat([state["clip.visual.class_embedding"].expand(len(tokens), 1, -1), tokens], dim=1)
    tokens = tokens + state["clip.visual.positional_embedding"]
    for name in ("pre", "post"):
        scale, shift = (state[f"clip.visual.ln_{name}.{one}"] for one in ("weight", "bias"))
        tokens = F.layer_norm(tokens, (VISION,), scale, shift)
        if name == "pre":
            tokens = block_outputs(state, "clip.visual.transformer.", tokens)
    return (tokens[:, 0] @ state["clip.visual.proj"]).unflatten(0, (-1, count))


@torch.no_grad()
def their_texts(state: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """(T, D) of (T, L) ids; the end token is the largest id."""
    values = state["clip.token_embedding.weight"][tokens] + state["clip.positional_embedding"][: tokens.shape[1]]
    values = block_outputs(state, "clip.transformer.", values, causal=True)
    values = F.layer_norm(values, (DIM,), state["clip.ln_final.weight"], state["clip.ln_final.bias"])
    return (values @ state["clip.text_projection"])[torch.arange(len(tokens)), tokens.argmax(dim=1)]


@torch.no_grad()
def their_scores(state: dict[str, Tensor], head: str, texts: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
    """(T, B) cosines, or scores of tightTransf."""
    count = frames.shape[1]
    real = torch.arange(count) < lengths[:, None]
    if head == "tightTransf":
        return torch.stack([their_tight(state, text, frames, real) for text in texts])
    outputs = frames
    if head == "seqLSTM":
        lstm = nn.LSTM(DIM, DIM, batch_first=True)
        lstm.load_state_dict({n.removeprefix("lstm_visual."): v for n, v in state.items() if n.startswith("lstm_")})
        outputs = frames + lstm(frames)[0]  # one direction: what comes after a video's end changes nothing before
    if head == "seqTransf":
        placed = frames + state["frame_position_embeddings.weight"][:count]
        outputs = frames + block_outputs(state, "transformerClip.", placed, hidden=~real, eps=1e-12)
    videos = (F.normalize(outputs, dim=2) * real[..., None]).sum(dim=1) / lengths[:, None]
    return F.normalize(texts, dim=1) @ F.normalize(videos, dim=1).T


def their_tight(state: dict[str, Tensor], text: Tensor, frames: Tensor, real: Tensor) -> Tensor:
    values = torch.cat([text.expand(len(frames), 1, -1), frames], dim=1)
    values = values + state["cross.embeddings.position_embeddings.weight"][: values.shape[1]]
    values = block_outputs(state, "cross.transformer.", values, hidden=F.pad(~real, (1, 0), value=False), eps=1e-12)
    scale, shift = (state[f"cross.pooler.ln_pool.{one}"] for one in ("weight", "bias"))
    first = F.layer_norm(values, (DIM,), scale, shift, 1e-12)[:, 0]
    first = F.linear(first, state["cross.pooler.dense.weight"], state["cross.pooler.dense.bias"])
    first = first * torch.sigmoid(1.702 * first)
    return F.linear(first, state["similarity_dense.weight"], state["similarity_dense.bias"])[:, 0]


def convert(state: dict[str, Tensor], **stated: Any) -> Imported:
    return importers.get("clip4clip").convert(ForeignWeights(state), {}, stated)


def model_of(imported: Imported) -> Clip4Clip:
    """The model that reads pixels."""
    inputs = {"video_frames": {"frames": 0}, "text": {"clip-tokens": WORDS}}
    model = make_model("clip4clip", make_config("clip4clip", {**imported.options, **inputs}))
    model.load_state_dict(dict(imported.weights))
    assert isinstance(model, Clip4Clip)
    return model.eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of three videos, and the tokens of three texts with their lengths."""
    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (3, FRAMES, 3, SIZE, SIZE), dtype=torch.uint8)
    tokens, lengths = torch.zeros(3, 9, dtype=torch.long), torch.tensor([9, 3, 6])
    for row, length in zip(tokens, lengths.tolist(), strict=True):
        row[:length] = torch.tensor([WORDS - 2, *torch.randint(1, WORDS - 2, (length - 2,)).tolist(), WORDS - 1])
    return pixels, tokens, lengths


@torch.no_grad()
def our_scores(model: Clip4Clip, pixels: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    texts = model.embed_texts(Batch({}, {"clip-tokens": Sequences(tokens, lengths)}))
    return model.score(texts, model.embed_videos(Batch({}, {"frames": Sequences(pixels, LENGTHS)})))


@pytest.mark.parametrize("patches", ["2d", "3d"])
@pytest.mark.parametrize("head", HEADS)
def test_imported_weights_score_as_in_their_code(head: str, patches: str) -> None:
    state, (pixels, tokens, lengths) = theirs(head, patches), inputs()
    imported = convert(state)
    model = model_of(imported)
    frames, texts = their_frames(state, pixels, LENGTHS), their_texts(state, tokens)
    real = torch.arange(FRAMES) < LENGTHS[:, None]
    with torch.no_grad():
        found = model.backbone.frames(pixels, real)
        read = model.backbone.texts(tokens, torch.arange(9) < lengths[:, None])
    torch.testing.assert_close(found, frames * real[..., None], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(read, texts, atol=1e-5, rtol=1e-5)
    wanted = their_scores(state, head, texts, frames, LENGTHS)
    torch.testing.assert_close(our_scores(model, pixels, tokens, lengths), wanted, atol=1e-5, rtol=1e-5)
    assert wanted.std() > 0.01  # they differ, so they show something
    assert imported.options["head"] == head and imported.options["patches"] == patches
    assert imported.options.get("layers", 3) == 3
    assert model.backbone.logit_scale.item() == pytest.approx(np.exp(1.5))


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    state = {name: tensor.half() if "attn" in name else tensor for name, tensor in theirs().items()}
    weights = convert(state).weights
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    fused = state["clip.transformer.resblocks.1.attn.in_proj_weight"].float()
    name = "backbone.clip.text_model.encoder.layers.1.self_attn.{}_proj.weight"
    assert torch.equal(torch.cat([weights[name.format(part)] for part in "qkv"]), fused)


@pytest.mark.parametrize("head", HEADS)
def test_only_the_mean_of_frames_is_the_same_for_vectors_of_length_1(head: str) -> None:
    """Why a store of unit vectors does not fit the checkpoint: the other heads were trained on longer ones."""
    state, (pixels, tokens, _) = theirs(head), inputs()
    frames, texts = their_frames(state, pixels, LENGTHS), their_texts(state, tokens)
    assert 5 < frames.norm(dim=2).median() < 100
    scores = their_scores(state, head, texts, frames, LENGTHS)
    changed = (scores - their_scores(state, head, texts, F.normalize(frames, dim=2), LENGTHS)).abs().max()
    assert changed < 1e-6 if head == "meanP" else changed > 0.02


# The verb


def command(state: object, out: Path, *more: str, tokenizer: str | None = "mini-clip") -> list[str]:
    file = out.parent / "theirs.pt"
    torch.save(state, file)
    line = ["import-checkpoint", str(file), "--architecture", "clip4clip", *more, "-o", str(out)]
    return line + (["--tokenizer", tokenizer] if tokenizer else [])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each head, what is imported in HEAD, and a store HEAD/frame of the vectors that its tower gives."""
    folder = tmp_path_factory.mktemp("import")
    (folder / "topics.txt").write_text("901 a red car\n902 a woman and two dogs\n")
    for head in HEADS:
        assert main(command(theirs(head), folder / head, "--quiet")) == 0
        store_of(folder / head, folder / "stores" / head / "frame")
    return folder


@torch.no_grad()
def store_of(model: Path, folder: Path) -> None:
    """The store of the frames of three videos that a checkpoint's own backbone makes."""
    checkpoint = read_checkpoint(model)
    (spec,) = checkpoint.video_features.values()
    pixels, _, _ = inputs()
    real = torch.arange(FRAMES) < LENGTHS[:, None]
    rows = checkpoint.load_model().backbone.frames(pixels, real)[real]  # type: ignore[union-attr, operator]
    make_store(folder, rows.numpy(), lengths=LENGTHS.numpy(), spec=spec, dtype="float32")


def search(work: Path, model: Path, out: Path, head: str = "meanP") -> list[str]:
    line = ["search", "--topics", str(work / "topics.txt"), "--store", str(work / "stores" / head / "frame"), "--quiet"]
    return [*line, "--checkpoint", str(model), "-o", str(out)]


@pytest.mark.parametrize("head", HEADS)
def test_it_scores_a_store_of_its_backbone_as_their_code_does(head: str, work: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(work / head, moved)
    list_, store = tmp_path / "list.trec", work / "stores" / head / "frame"
    if head == "tightTransf":
        lists = {t: RankedList(t, tuple(shot_ids(3)), np.array([3.0, 2, 1])) for t in ("901", "902")}
        write_trec(Run(lists, "x"), tmp_path / "given.trec")
        found = avs.rerank(
            read_trec(tmp_path / "given.trec"), avs.read_topics(work / "topics.txt"), "model", alpha=0.0, store=store,
            checkpoint=moved,
        ).lists  # fmt: skip
    else:
        assert main(search(work, moved, list_, head)) == 0
        found = read_trec(list_).lists
    state, (pixels, _, _) = theirs(head), inputs()
    trained = load_trained(read_checkpoint(moved))
    (feature,) = trained.text_features
    frames = their_frames(state, pixels, LENGTHS)
    for topic, text in (("901", "a red car"), ("902", "a woman and two dogs")):
        tokens = torch.tensor([feature.tokenizer(text)["input_ids"]])  # type: ignore[attr-defined]
        (wanted,) = their_scores(state, head, their_texts(state, tokens), frames, LENGTHS).numpy()
        scores = dict(zip(found[topic].shots, found[topic].scores, strict=True))
        if head == "tightTransf":  # a reranked list has scores from 0 to 1
            wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
        assert [scores[shot] for shot in shot_ids(3)] == pytest.approx(wanted, abs=1e-5)


def test_its_frames_are_those_of_its_own_clip_as_openai_normalises(work: Path) -> None:
    """They have the name of the folder, and the length that the tower gives them."""
    spec, checkpoint = read_spec("clip", weights=work / "meanP" / "backbone"), read_checkpoint(work / "meanP")
    own = replace(spec, name="meanP", normalised=False)
    assert checkpoint.video_features == {"meanP/frame": own} and checkpoint.config["video_frames"] == {"meanP/frame": 0}
    assert (spec.dim, spec.image_size, spec.activation, spec.resize) == (DIM, SIZE, "quick_gelu", "shortest-edge-crop")
    assert torch.allclose(torch.tensor([spec.mean, spec.std]), torch.stack([MEAN, STD])[..., 0, 0])
    assert main(["info", str(work / "meanP"), "--verify"]) == 0


@pytest.mark.parametrize("change", [{"revision": "sha256:other"}, {"normalised": True}, {"name": "clip"}])
def test_vectors_of_another_clip_or_of_length_1_are_refused(
    change: dict[str, Any], work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (spec,) = read_checkpoint(work / "meanP").video_features.values()
    rows = np.ones((8, DIM), np.float32) / np.sqrt(DIM)
    make_store(tmp_path / "frame", rows, lengths=LENGTHS.numpy(), spec=replace(spec, **change))
    line = [*search(work, work / "meanP", tmp_path / "list.trec"), "--store", str(tmp_path / "frame")]
    line.remove(str(work / "stores/meanP/frame")), line.remove("--store")
    assert main(line) == 2
    assert (next(iter(change)) if "name" not in change else "no store given") in capsys.readouterr().err


def test_it_goes_on_training(work: Path, tmp_path: Path) -> None:
    lines = (f"{shot}#{n} {word} car\n" for shot in shot_ids(3) for n, word in enumerate(("red", "blue", "green")))
    (tmp_path / "c.txt").write_text("".join(lines))
    store = str(work / "stores/meanP/frame")
    line = ["train-clip4clip", "--captions", str(tmp_path / "c.txt"), "--store", store, "--quiet"]
    line += ["--start-from", str(work / "meanP"), "--epochs", "1", "--batch-size", "4", "-o", str(tmp_path / "tuned")]
    assert main(line) == 0
    assert main(search(work, tmp_path / "tuned", tmp_path / "list.trec")) == 0


@pytest.mark.parametrize("head", HEADS)
def test_3d_patches_are_imported_too(head: str, tmp_path: Path) -> None:
    assert main(command(theirs(head, "3d"), tmp_path / "out", "--quiet")) == 0
    checkpoint, (pixels, tokens, lengths) = read_checkpoint(tmp_path / "out"), inputs()
    model, state = checkpoint.load_model(), theirs(head, "3d")
    with torch.no_grad():
        texts = model.embed_texts(Batch({}, {"clip-tokens": Sequences(tokens, lengths)}))
        videos = model.embed_videos(Batch({}, {"out/frame": Sequences(pixels, LENGTHS)}))
        scores = model.score(texts, videos)
    wanted = their_scores(state, head, their_texts(state, tokens), their_frames(state, pixels, LENGTHS), LENGTHS)
    torch.testing.assert_close(scores, wanted, atol=1e-5, rtol=1e-5)
    state["clip.visual.conv2.weight"] *= 1.1
    assert main(command(state, tmp_path / "other", "--quiet")) == 0
    revisions = {read_checkpoint(tmp_path / name).video_features[f"{name}/frame"].revision for name in ("out", "other")}
    assert len(revisions) == 2


def test_which_frames_the_training_read_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(theirs(), tmp_path / "usual")) == 0
    assert f"next: avs extract-features --videos VIDEOS --shots SHOTS --model {tmp_path}/usual -o FEATURES\n" in (
        capsys.readouterr().err
    )
    grid = {"policy": "interval", "interval_s": 1.0, "frames": NO_LIMIT}
    choice = {"frames": 12, "policy": "linspace", "order": "normal"}
    assert read_checkpoint(tmp_path / "usual").sampling == {**grid, "choice": choice}
    more = ["--fps", "2", "--frame-policy", "tail", "--frame-order", "reversed", "--option", "max_frames=20"]
    assert main(command(theirs(), tmp_path / "own", *more)) == 0
    choice = {"frames": 20, "policy": "tail", "order": "reversed"}
    assert read_checkpoint(tmp_path / "own").sampling == {**grid, "interval_s": 0.5, "choice": choice}
    assert main(command(theirs(), tmp_path / "own", *more[2:])) == 2
    assert "--force" in capsys.readouterr().err
    for wrong, said in (("--fps=0", "--fps must be positive"), ("--frame-policy=uniform", "got 'uniform'")):
        assert main(command(theirs(), tmp_path / "wrong", wrong)) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "wrong").exists()


def test_weights_of_two_heads_need_the_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {**theirs("seqLSTM"), **theirs("seqTransf")}
    assert main(command(state, tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "tensors of seqLSTM, seqTransf" in error and "--option head=seqLSTM" in error
    assert main(command(state, tmp_path / "out", "--option", "head=meanQ")) == 2
    assert "wanted: meanP, seqLSTM" in capsys.readouterr().err
    assert main(command(state, tmp_path / "out", "--option", "head=meanP")) == 0
    said = "".join(capsys.readouterr())
    assert "left out: the positions of frames, which meanP does not read" in said
    assert "left out: 4 tensors of seqLSTM" in said and "left out: 36 tensors of seqTransf" in said
    imported = convert(state, head="seqTransf")
    assert imported.left_out == ("4 tensors of seqLSTM, since the head is said to be seqTransf",)


def test_what_nothing_reads_is_left_out_and_said() -> None:
    assert convert(theirs("seqLSTM")).left_out == ("the positions of frames, which seqLSTM does not read",)
    assert convert(theirs("meanP", "3d")).left_out == (
        "the patch projection of single frames, which 3d patches do not read",
    )
    assert convert(theirs("seqTransf")).left_out == convert(theirs("tightTransf")).left_out == ()


@pytest.mark.parametrize(
    ("head", "change", "said"),
    [
        ("meanP", {"clip.visual.attnpool.q_proj.weight": torch.ones(2)}, "attnpool.q_proj.weight: has no place"),
        ("meanP", {"clip.visual.proj": None}, "clip.visual.proj: is wanted and missing"),
        ("meanP", {"clip.transformer.resblocks.1.attn.in_proj_bias": None}, "1.attn.in_proj_bias: is wanted"),
        ("seqTransf", {"frame_position_embeddings.weight": None}, "frame_position_embeddings.weight: is wanted"),
        ("seqTransf", {"transformerClip.resblocks.0.ln_2.bias": None}, "resblocks.0.ln_2.bias: is wanted"),
        ("seqLSTM", {"lstm_visual.bias_hh_l0": None}, "lstm_visual.bias_hh_l0: is wanted"),
        ("seqLSTM", {"lstm_visual.weight_ih_l0_reverse": torch.ones(2)}, "weight_ih_l0_reverse: has no place"),
        ("tightTransf", {"similarity_dense.bias": None}, "similarity_dense.bias: is wanted"),
        ("tightTransf", {"cross.embeddings.token_type_embeddings.weight": torch.ones(2)}, "embeddings.weight: has no"),
        ("meanP", {"clip.ln_final.bias": torch.full((DIM,), torch.nan)}, "clip.ln_final.bias: has values"),
        ("meanP", {"clip.ln_final.bias": torch.ones(3)}, "has shape [3], wanted [128]"),
        ("meanP", {"clip.transformer.resblocks.0.attn.in_proj_bias": torch.ones(DIM)}, "wanted [128]"),
        ("meanP", {"clip.text_projection": torch.ones(3)}, "text_projection.weight: has shape [3], wanted 2 axes"),
        ("meanP", {"clip.visual.positional_embedding": torch.ones(7, VISION)}, "7 positions of patches"),
        ("meanP", {"clip.visual.positional_embedding": torch.ones(5, 65)}, "vision 65"),
    ],
)
def test_tensors_without_a_counterpart_are_named(
    tmp_path: Path, head: str, change: dict[str, Tensor | None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {name: tensor for name, tensor in {**theirs(head), **change}.items() if tensor is not None}
    assert main(command(changed, tmp_path / "out")) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_of_another_model_are_refused_with_both_sides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command({"visual.proj": torch.ones(2, 2)}, tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "visual.proj: has no place in the model" in error and "clip.visual.proj: is wanted and missing" in error


def test_damaged_files_and_pickles_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = command(theirs(), tmp_path / "out")
    content = (tmp_path / "theirs.pt").read_bytes()
    for part in (b"", content[: len(content) // 2], b"no torch file"):
        (tmp_path / "theirs.pt").write_bytes(part)
        assert main(line) == 2
        assert str(tmp_path / "theirs.pt") in capsys.readouterr().err
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "theirs.pt")
    assert main(line) == 2
    error = capsys.readouterr().err
    assert "unpickling it would run code" in error and "torch.save(found if isinstance(found, dict)" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tokenizer", "words", "said"),
    [
        (None, WORDS, "--tokenizer FOLDER"),
        ("nowhere", WORDS, "nowhere"),
        ("{tmp}", WORDS, "no tokenizer of a CLIP"),
        ("mini-clip", WORDS + 1, f"has {WORDS} words, wanted {WORDS + 1}"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_refused(
    tmp_path: Path, tokenizer: str | None, words: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = tokenizer and tokenizer.format(tmp=tmp_path)
    assert main(command(theirs(words=words), tmp_path / "out", tokenizer=tokenizer)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_end_token_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their code reads a text at its largest id."""
    shutil.copytree(MINI, tmp_path / "clip")
    file = tmp_path / "clip" / "tokenizer_config.json"
    file.write_text(file.read_text().replace('"eos_token": "<|endoftext|>"', '"eos_token": "<|startoftext|>"'))
    assert main(command(theirs(), tmp_path / "out", tokenizer=str(tmp_path / "clip"))) == 2
    assert f"is {WORDS - 2}, wanted the last of its words, {WORDS - 1}" in capsys.readouterr().err


def test_another_tokenizer_makes_another_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(MINI, tmp_path / "clip")
    line = command(theirs(), tmp_path / "out", "--json", tokenizer=str(tmp_path / "clip"))
    assert main(line) == main(line) == 0
    assert '"up_to_date": true' in capsys.readouterr().out
    file = tmp_path / "clip" / "tokenizer.json"
    file.write_text(file.read_text() + "\n")
    assert main(line) == 2
    assert "--force" in capsys.readouterr().err


def test_the_processor_beside_the_tokenizer_is_not_taken(tmp_path: Path) -> None:
    shutil.copytree(MINI, tmp_path / "clip")
    (tmp_path / "clip" / "preprocessor_config.json").rename(tmp_path / "clip" / "processor_config.json")  # of 64 pixels
    assert main(command(theirs(), tmp_path / "out", tokenizer=str(tmp_path / "clip"))) == 0
    assert read_spec("clip", weights=tmp_path / "out" / "backbone").image_size == SIZE


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--option", "patches=3d"], "patches: got 3d, but it is 2d"),
        (["--option", "init=zero"], "init: got zero, but it is clip"),
        (["--option", "max_words=41"], "the text tower has 40 positions"),
        (["--option", "frames=3"], "unknown option frames"),
        (["--feature", "clip={work}/stores/meanP/frame"], "import without --feature"),
        (["--vocabulary", "bow={work}/topics.txt"], "read no bow"),
        (["--text-encoder", "mini-clip"], "read no encoder"),
    ],
)
def test_what_the_weights_decide_or_do_not_read_is_refused(
    work: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(theirs(), tmp_path / "out", *(word.format(work=work) for word in more))) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_longer_videos_and_texts_are_an_option(tmp_path: Path) -> None:
    more = ["--option", "max_frames=64", "--option", "max_words=40"]
    assert main(command(theirs(), tmp_path / "out", *more)) == 0
    checkpoint = read_checkpoint(tmp_path / "out")
    assert (checkpoint.config["max_frames"], checkpoint.config["max_words"]) == (64, 40)
    assert checkpoint.text_features[0]["max_words"] == 40

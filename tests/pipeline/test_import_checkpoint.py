"""Weights in the layout of the authors' LAFF: they give the scores that the layout stands for, or an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avs.cli.main import main
from avs.core import artifacts
from avs.core.bigfile import BigFile, write_bigfile
from avs.features.words import tokenise
from avs.models.batch import Batch, Sequences
from avs.pipeline.search.trained import load_trained
from avs.train.checkpoint import read_checkpoint

HEADS, HEAD_DIM, WORD_DIM, HIDDEN = 2, 6, 5, 3
WIDTH = HEADS * HEAD_DIM
VIDEO = {"motion": 4, "irCSN,os": 7}
STOP = ("a", "front")  # "front" is no stop word of avs
BOW = ("dog", "car", "red")
GRU = ("<pad>", "<start>", "<end>", "<unk>", "a", "dog", "in", "front")
VECTORS = ("a", "dog", "car", "front")
TEXTS = ["a dog in front", "red car, red dog", "zebra"]
SHOTS = ["shot00001_1", "shot00001_2", "shot00002_1"]


def transform(state: dict[str, Tensor], name: str, dim: int, *, tiled: bool = False, norm: bool = False) -> None:
    if not tiled:
        state |= {f"{name}.fc1.weight": torch.randn(WIDTH, dim), f"{name}.fc1.bias": torch.randn(WIDTH)}
    if tiled or norm:
        state |= {
            f"{name}.bn1.weight": torch.randn(WIDTH),
            f"{name}.bn1.bias": torch.randn(WIDTH),
            f"{name}.bn1.running_mean": torch.randn(WIDTH),
            f"{name}.bn1.running_var": torch.rand(WIDTH) + 0.5,
            f"{name}.bn1.num_batches_tracked": torch.tensor(3),
        }


def attention(state: dict[str, Tensor], name: str, *, share: float) -> None:
    for head in range(HEADS):
        inner = f"{name}.attention_layer.{head}"
        state[f"{inner}.embedding_common.0.weight"] = torch.randn(1, HEAD_DIM)
        state[f"{inner}.embedding_common.0.bias"] = torch.randn(1)
        state[f"{inner}.global_emb_weight_net.weight"] = torch.full((1, 1), share)
    state |= {f"{name}.layer_norm.weight": torch.ones(HEAD_DIM), f"{name}.layer_norm.bias": torch.zeros(HEAD_DIM)}


def theirs(*, multi_level: bool = False, share: float = 0.0, bidirectional: bool = False) -> dict[str, Tensor]:
    """A state dict of random numbers as their trainer keeps it; LAFF-ml has batch normalisation and a frame level."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}
    prefix = "vis_net." if multi_level else "vis_net.VisMutiTransformNet."
    for name, dim in VIDEO.items():
        transform(state, prefix + name, dim, norm=multi_level)
    transform(state, prefix + "clip_ft", HEAD_DIM, tiled=True)
    attention(state, "vis_net.vis_attention_layer" if multi_level else "vis_net.attention_layer", share=share)
    if multi_level:
        state["vis_net.frame_attention.clip_ft.0.embedding_common.0.weight"] = torch.randn(1, HEAD_DIM)
        state["vis_net.frame_attention.clip_ft.0.embedding_common.0.bias"] = torch.randn(1)
        state["vis_net.frame_attention.clip_ft.0.global_emb_weight_net.weight"] = torch.ones(1, 1)
    gru = torch.nn.GRU(WORD_DIM, HIDDEN, bidirectional=bidirectional)
    state["txt_net.encoder.rnn_encoder.we.weight"] = torch.randn(len(GRU), WORD_DIM)
    state |= {f"txt_net.encoder.rnn_encoder.rnn.{name}": value.data for name, value in gru.named_parameters()}
    state["txt_net.encoder.CLIP_encoder.ClipModel.proj"] = torch.randn(2, 2)
    hidden = HIDDEN * (2 if bidirectional else 1)
    for name, dim in (("rnn", hidden), ("w2v", WORD_DIM), ("bow", len(BOW))):
        transform(state, f"txt_net.transform_layer.{name}_encoder_transform", dim, norm=multi_level)
    attention(state, "txt_net.attention_layer", share=share)
    return state


def fused(state: dict[str, Tensor], inputs: dict[str, Tensor], transforms: str, place: str, share: float) -> Tensor:
    """(B, H, d) of one side, by the formulas of the method card."""
    values = []
    for name, feature in inputs.items():
        one = transforms.format(name)
        if f"{one}.fc1.weight" in state:
            value = torch.tanh(feature @ state[f"{one}.fc1.weight"].T + state[f"{one}.fc1.bias"])
        else:
            value = feature.repeat(1, HEADS)
        if f"{one}.bn1.weight" in state:
            scale = state[f"{one}.bn1.weight"] / (state[f"{one}.bn1.running_var"] + 1e-5).sqrt()
            value = (value - state[f"{one}.bn1.running_mean"]) * scale + state[f"{one}.bn1.bias"]
        values.append(value.reshape(-1, HEADS, HEAD_DIM))
    heads = []
    for head in range(HEADS):
        own = torch.stack([value[:, head] for value in values], dim=1)  # (B, k, d)
        inner = f"{place}.attention_layer.{head}.embedding_common.0"
        shares = (own @ state[f"{inner}.weight"].T + state[f"{inner}.bias"]).softmax(dim=1)
        heads.append(F.normalize((own * (shares + share)).sum(dim=1), dim=-1))
    return torch.stack(heads, dim=1)


def text_inputs(state: dict[str, Tensor], vectors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Their text features of TEXTS."""
    rows = [[GRU.index(w) if w in GRU else 3 for w in ("<start>", *tokenise(t), "<end>")] for t in TEXTS]
    prefix = "txt_net.encoder.rnn_encoder.rnn."
    both = any(name.endswith("_reverse") for name in state)
    gru = torch.nn.GRU(WORD_DIM, HIDDEN, batch_first=True, bidirectional=both)
    gru.load_state_dict({name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)})
    with torch.no_grad():
        means = [gru(state["txt_net.encoder.rnn_encoder.we.weight"][row][None])[0].mean(dim=1)[0] for row in rows]
    known = [[w for w in dict.fromkeys(tokenise(t)) if w in vectors and w not in STOP] for t in TEXTS]
    zeros = np.zeros(WORD_DIM, np.float32)
    return {
        "rnn": torch.stack(means),
        "w2v": torch.tensor(np.array([np.mean([vectors[w] for w in ws], axis=0) if ws else zeros for ws in known])),
        "bow": torch.tensor([[float(tokenise(t).count(word)) for word in BOW] for t in TEXTS]),
    }


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / f"{name}.txt" for name in ("bow", "gru", "stop")}
    for name, words in (("bow", BOW), ("gru", GRU), ("stop", STOP)):
        found[name].write_text("".join(f"{word}\n" for word in words))
    rows = np.random.default_rng(0).standard_normal((len(VECTORS), WORD_DIM)).astype(np.float32)
    write_bigfile(tmp_path / "vec", VECTORS, [rows])
    return {**found, "vec": tmp_path / "vec"}


def command(state: object, files: dict[str, Path], out: Path, *more: str) -> list[str]:
    file = out.parent / "theirs.pt"
    torch.save(state, file)
    given = ["--vocabulary", f"bow={files['bow']}", "--word2vec", str(files["vec"]), "--stop-words", str(files["stop"])]
    return ["import-checkpoint", str(file), "--architecture", "laff", *given, *more, "-o", str(out)]


@pytest.mark.parametrize("multi_level", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_imported_weights_score_as_in_their_code(
    tmp_path: Path, files: dict[str, Path], multi_level: bool, bidirectional: bool, share: float
) -> None:
    state, out = theirs(multi_level=multi_level, share=share, bidirectional=bidirectional), tmp_path / "laff"
    recurrent = "bigru" if bidirectional else "gru"
    more = ["--vocabulary", f"{recurrent}={files['gru']}", *(["--option", "with_ave=true"] if share else [])]
    assert main(command({"epoch": 3, "model": state}, files, out, *more)) == 0
    trained = load_trained(read_checkpoint(out))

    torch.manual_seed(1)
    vectors = {name: torch.randn(len(SHOTS), dim) for name, dim in VIDEO.items()}
    frames, lengths = torch.randn(len(SHOTS), 4, HEAD_DIM), torch.tensor([4, 1, 3])
    sequences, videos = {}, dict(vectors)
    if multi_level:
        sequences = {"clip_ft/frame": Sequences(frames, lengths)}
        inner = "vis_net.frame_attention.clip_ft.0.embedding_common.0"
        pooled = []
        for shot, length in zip(frames, lengths.tolist(), strict=True):
            shares = (shot[:length] @ state[f"{inner}.weight"].T + state[f"{inner}.bias"]).softmax(dim=0)
            pooled.append(F.normalize((shot[:length] * shares).sum(dim=0), dim=0))
        videos["clip_ft"] = torch.stack(pooled)
    else:
        vectors["clip_ft"] = videos["clip_ft"] = frames[:, 0]
    words = {word: row for word, row in zip(VECTORS, np.asarray(BigFile(files["vec"]).vectors), strict=True)}
    level = "vis_net.{}" if multi_level else "vis_net.VisMutiTransformNet.{}"
    place = "vis_net.vis_attention_layer" if multi_level else "vis_net.attention_layer"
    of_videos = fused(state, videos, level, place, share)
    transforms = "txt_net.transform_layer.{}_encoder_transform"
    of_texts = fused(state, text_inputs(state, words), transforms, "txt_net.attention_layer", share)
    wanted = torch.einsum("thd,vhd->tv", of_texts, of_videos) / HEADS

    with torch.no_grad():
        found = trained.model.score(
            trained.embed(TEXTS, ["1", "2", "3"]), trained.model.embed_videos(Batch(vectors, sequences))
        )
    assert torch.allclose(found, wanted, atol=1e-6)
    (line,) = trained.unknown_words(["a zebra"], ["1"])
    assert line == f'topic 1: "zebra" is not in the vocabulary of bow, word2vec, {recurrent}'


def test_a_second_run_says_up_to_date_and_other_inputs_are_refused(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line = command(theirs(), files, tmp_path / "laff", "--vocabulary", f"gru={files['gru']}")
    assert main(line) == main(line) == 0
    assert "up to date" in capsys.readouterr().err
    files["bow"].write_text("dog\ncar\nblue\n")
    assert main(line) == 2
    assert "vocabulary of bow" in capsys.readouterr().err


def test_weights_that_changed_in_the_middle_of_a_large_file_are_noticed(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "WHOLE_FILE_BYTES", 50)
    monkeypatch.setattr(artifacts, "EDGE_BYTES", 10)
    line = command(theirs(), files, tmp_path / "laff", "--vocabulary", f"gru={files['gru']}")
    assert main(line) == 0
    weights = tmp_path / "theirs.pt"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert main(line) == 2
    assert "inputs.weights" in capsys.readouterr().err


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_is_more_than_tensors_is_refused_with_the_way_to_convert_it(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line = command({"model": theirs(), "config": Touch(tmp_path / "ran")}, files, tmp_path / "laff")
    assert main(line) == 2
    said = capsys.readouterr().err
    assert "unpickling it would run code" in said and 'torch.save(checkpoint["model"], "laff.pt")' in said
    assert not (tmp_path / "ran").exists() and not (tmp_path / "laff").exists()
    torch.load(tmp_path / "theirs.pt", weights_only=False)
    assert (tmp_path / "ran").exists()  # it would have run


@pytest.mark.parametrize("content", [b"", b"not a torch file", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_refused(
    tmp_path: Path, files: dict[str, Path], content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    line = command(theirs(), files, tmp_path / "laff")
    (tmp_path / "theirs.pt").write_bytes(content)
    assert main(line) == 2
    assert str(tmp_path / "theirs.pt") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"txt_net.encoder.bert_encoder.pooler": torch.ones(2)}, "bert_encoder.pooler: has no place in the model"),
        (
            {"vis_net.attention_layer.attention_layer.1.embedding_common.0.weight": None},
            "layer.1.embedding_common.0.bias",
        ),
        ({"txt_net.encoder.rnn_encoder.rnn.bias_hh_l0": None}, "rnn.bias_hh_l0: is wanted and missing"),
        ({"vis_net.VisMutiTransformNet.motion.fc1.bias": torch.full((WIDTH,), torch.nan)}, "not finite"),
        ({"vis_net.VisMutiTransformNet.motion.fc1.bias": torch.ones(3)}, "has shape [3], wanted [12]"),
        ({"vis_net.VisMutiTransformNet.motion.bn1.weight": torch.ones(WIDTH)}, "bn1.bias: is wanted and missing"),
    ],
)
def test_tensors_without_a_counterpart_are_named(
    tmp_path: Path,
    files: dict[str, Path],
    change: dict[str, Tensor | None],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = {name: tensor for name, tensor in {**theirs(), **change}.items() if tensor is not None}
    assert main(command(changed, files, tmp_path / "laff", "--vocabulary", f"gru={files['gru']}")) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "laff").exists()


def test_weights_of_another_model_are_refused(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command({"encoder.weight": torch.ones(2, 2)}, files, tmp_path / "laff")) == 2
    said = capsys.readouterr().err
    assert "encoder.weight: has no place" in said and "attention_layer.0.embedding_common.0.weight: is wanted" in said


def test_what_the_weights_do_not_hold_is_asked_for_at_once(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(theirs(share=0.6), tmp_path / "theirs.pt")
    line = ["import-checkpoint", str(tmp_path / "theirs.pt"), "--architecture", "laff", "-o", str(tmp_path / "laff")]
    assert main(line) == 2
    assert "--option with_ave=false" in capsys.readouterr().err
    line += ["--option", "with_ave=false", "--vocabulary", f"bigru={files['gru']}", "--text-encoder", "mini-clip"]
    line += ["--tokenizer", "mini-clip"]
    assert main(line) == 2
    said = capsys.readouterr().err
    for part in (
        "read no clip-tokens",
        "--vocabulary bow=FILE",
        "--vocabulary gru=FILE",
        "--word2vec",
        "read no bigru",
        "read no encoder",
    ):
        assert part in said


def test_a_vocabulary_of_another_size_is_refused(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files["bow"].write_text("dog\ncar\n")
    files["gru"].write_text("\n".join(GRU).replace("<unk>", "unknown"))
    assert main(command(theirs(), files, tmp_path / "laff", "--vocabulary", f"gru={files['gru']}")) == 2
    said = capsys.readouterr().err
    assert "has 2 words, wanted 3" in said and "lacks <unk>" in said


def test_an_option_that_the_weights_decide_is_refused(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line = command(theirs(), files, tmp_path / "laff", "--vocabulary", f"gru={files['gru']}")
    assert main([*line, "--option", f"heads={HEADS}"]) == 0
    assert main([*line, "--option", "heads=3", "--option", "head_dim=4", "--force"]) == 2
    said = capsys.readouterr().err
    assert f"heads: got 3, but it is {HEADS}" in said and f"head_dim: got 4, but it is {HEAD_DIM}" in said


def test_a_store_takes_the_place_of_a_feature(
    tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_bigfile(tmp_path / "x3d", SHOTS, [np.ones((3, 4), np.float32)])
    line = command(theirs(), files, tmp_path / "laff", "--vocabulary", f"gru={files['gru']}")
    assert main([*line, "--feature", f"motion={tmp_path / 'x3d'}"]) == 0
    assert list(read_checkpoint(tmp_path / "laff").video_features) == ["x3d", "irCSN,os", "clip_ft"]
    assert main([*line, "--force", "--feature", f"irCSN,os={tmp_path / 'x3d'}"]) == 2
    assert "has 4 dimensions, wanted 7" in capsys.readouterr().err


def test_text_vectors_of_an_encoder_keep_their_length(tmp_path: Path, files: dict[str, Path]) -> None:
    state = theirs()
    transform(state, "txt_net.transform_layer.CLIP_encoder_transform", 128)
    more = ["--vocabulary", f"gru={files['gru']}", "--text-encoder", "mini-clip"]
    assert main(command(state, files, tmp_path / "laff", *more)) == 0
    (_, _, encoder, _) = read_checkpoint(tmp_path / "laff").text_features
    assert encoder["name"] == "mini-clip" and encoder["unit_length"] is False
    trained = load_trained(read_checkpoint(tmp_path / "laff"))
    vectors, _ = trained.text_features[2].columns(["a red car"])
    assert abs(np.linalg.norm(vectors.take(np.array([0]))) - 1) > 0.1

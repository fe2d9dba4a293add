"""`avs rerank --method judge` as a user runs it: tiny videos, a tiny vision-language model in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from tiny_vlm import make_vlm

from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.reranking.judge_cache import short_hash
from avs.reranking.material import Question
from avs.reranking.vlm_judge import VlmJudge
from avs.trecvid.trec import read_trec, write_trec

TOPICS = {"661": "a red circle", "662": "two people dance", "663": "a dog"}
SHOTS = [f"shot{video}_{n}" for video in ("00001", "00002") for n in (1, 2, 3)]
DEPTH = 4


def write_video(path: Path, seed: int) -> None:
    """3 s of 6 frames a second; every second a picture of its own."""
    pictures = np.random.default_rng(seed).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=6)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for n in range(18):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures[n // 6], format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of three shots, a list of all of them for each of three topics, qrels, a model."""
    root = tmp_path_factory.mktemp("judge")
    make_vlm(root / "vlm")
    (root / "videos").mkdir()
    for n, video in enumerate(("00001", "00002")):
        write_video(root / "videos" / f"{video}.mp4", n)
    rows = [f"{shot}\t{shot[4:9]}\t{n % 3}.0\t{n % 3 + 1}.0\n" for n, shot in enumerate(SHOTS)]
    (root / "shots.tsv").write_text("shot\tvideo\tstart_s\tend_s\n" + "".join(rows), encoding="utf-8")
    (root / "topics.txt").write_text("".join(f"{t}  {text}\n" for t, text in TOPICS.items()), encoding="utf-8")
    rng = np.random.default_rng(0)
    write_trec(Run({t: RankedList.from_scores(t, SHOTS, rng.normal(size=6)) for t in TOPICS}, "x"), root / "list.trec")
    judged = [f"1{t} 0 {shot} 1 {n % 2}\n" for t in TOPICS for n, shot in enumerate(SHOTS)]
    (root / "qrels").write_text("".join(judged), encoding="utf-8")
    return root


def words(work: Path, cache: Path, *more: str) -> list[str]:
    told = {"videos": work / "videos", "shots": work / "shots.tsv", "vlm": work / "vlm", "cache": cache}
    options = [word for name, value in told.items() for word in (f"--{name}", str(value))]
    how = ["--method", "judge", "--depth", str(DEPTH), "--frames", "2", "--batch-size", "5"]
    return ["rerank", str(work / "list.trec"), "--topics", str(work / "topics.txt"), *how, *options, *more]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the size of each batch that the model is asked."""
    batches: list[int] = []
    judge = VlmJudge.judge

    def counted(self: VlmJudge, questions: Sequence[Question]) -> np.ndarray:
        batches.append(len(questions))
        return judge(self, questions)

    monkeypatch.setattr(VlmJudge, "judge", counted)
    return batches


def test_the_best_are_judged_and_a_second_run_asks_nothing(
    work: Path, tmp_path: Path, asked: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    made, cache = tmp_path / "made.trec", tmp_path / "judged.tsv"
    call = words(work, cache, "--alpha", "0", "-o", str(made), "--json")
    assert main(call) == 0
    assert json.loads(capsys.readouterr().out)["results"] == 18
    assert asked == [5, 5, 2]
    before, after = read_trec(work / "list.trec"), read_trec(made)
    kept = [line.split("\t") for line in cache.read_text(encoding="utf-8").splitlines()[1:]]
    for topic, text in TOPICS.items():
        old, new = before.lists[topic], after.lists[topic]
        assert new.shots[DEPTH:] == old.shots[DEPTH:] and set(new.shots) == set(old.shots)
        yes = {shot: float(value) for _, t, shot, _, value in kept if t == short_hash(text)}
        assert set(yes) == set(old.shots[:DEPTH])
        assert list(new.shots[:DEPTH]) == sorted(yes, key=lambda shot: -yes[shot])
    assert main(call) == 0
    assert "up to date" in capsys.readouterr().err
    again = tmp_path / "again" / "made.trec"
    assert main(words(work, cache, "--alpha", "0", "-o", str(again))) == 0
    assert "12 questions, 12 of them answered" in capsys.readouterr().err
    assert asked == [5, 5, 2]
    assert again.read_bytes() == made.read_bytes()


def test_a_killed_run_goes_on_where_it_was(
    work: Path, tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, made, cache = tmp_path / "whole" / "made.trec", tmp_path / "made.trec", tmp_path / "judged.tsv"
    assert main(words(work, tmp_path / "other.tsv", "-o", str(whole))) == 0
    asked.clear()
    counted = VlmJudge.judge

    def killed(self: VlmJudge, questions: Sequence[Question]) -> np.ndarray:
        if asked:
            raise KeyboardInterrupt
        return counted(self, questions)

    with monkeypatch.context() as patch:
        patch.setattr(VlmJudge, "judge", killed)
        assert main(words(work, cache, "-o", str(made))) != 0
    assert not made.exists()
    with open(cache, "a", encoding="utf-8") as file:
        file.write("0123456789abcdef\t0123")  # what a kill leaves of a line
    asked.clear()
    assert main(words(work, cache, "-o", str(made))) == 0
    assert asked == [5, 2]
    assert made.read_bytes() == whole.read_bytes()


def test_alpha_is_fitted_and_holds_for_the_same_judge_only(
    work: Path, tmp_path: Path, asked: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    cache, model = tmp_path / "judged.tsv", tmp_path / "reranker"
    assert main(words(work, cache, "--qrels", str(work / "qrels"), "--reranker", str(model))) == 0
    assert json.loads((model / "reranker.json").read_text(encoding="utf-8"))["method"] == "judge"
    fitted = words(work, cache, "--reranker", str(model), "-o", str(tmp_path / "x.trec"))
    fitted[fitted.index("--depth") : fitted.index("--depth") + 2] = []
    assert main(fitted) == 2  # the topics it was fitted on
    for name in ("list.trec", "topics.txt"):  # the same questions under other topic ids
        (tmp_path / name).write_text((work / name).read_text().replace("\n66", "\n76").replace("66", "76", 1))
        fitted[fitted.index(str(work / name))] = str(tmp_path / name)
    assert main(fitted) == 0
    assert sum(asked) == 12
    capsys.readouterr()
    assert main([*fitted, "--prompt", "Is {topic} seen?"]) == 2
    assert "the reranker was fitted with another judge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--store", "s"], "--store is for clip, dual-softmax, k-reciprocal, near-duplicates"),
        (["--weights", "w"], "--weights is for clip, dual-softmax"),
        (["--temperature", "1"], "--temperature is for dual-softmax"),
        (["--prompt", "Is it there?"], "the prompt has no {topic}: the model would not see the topic"),
        (["--dtype", "int8"], 'unknown compute dtype "int8"'),
        (["--dtype", "float16"], "float16 is not computed on a CPU"),
        (["--device", "tpu"], 'unknown device "tpu"'),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--revision", "v1"], "--revision: a folder has none"),
        (["--method", "clip"], "--vlm, --videos, --shots, --cache, --frames, --batch-size are for judge"),
    ],
)
def test_what_does_not_fit_is_named(
    more: list[str], message: str, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(work, tmp_path / "judged.tsv", *more, "-o", str(tmp_path / "x.trec"))) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_what_is_missing_is_named(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["rerank", str(work / "list.trec"), "--topics", str(work / "topics.txt"), "-o", str(tmp_path / "x.trec")]
    assert main([*call, "--method", "judge", "--vlm", str(work / "vlm")]) == 2
    assert "--method judge needs --videos DIR, --shots TABLE, --cache FILE" in capsys.readouterr().err
    assert main([*call, "--method", "clip"]) == 2
    assert "--method clip needs --store" in capsys.readouterr().err


def test_candidates_without_a_video_are_all_named(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranked = tmp_path / "list.trec"
    shots = ["shot00001_1", "shot00001_9", "shot00003_1"]
    write_trec(Run({t: RankedList.from_scores(t, shots, np.arange(3.0)) for t in TOPICS}, "x"), ranked)
    call = words(work, tmp_path / "judged.tsv", "-o", str(tmp_path / "x.trec"))
    call[1] = str(ranked)
    assert main(call) == 2
    err = capsys.readouterr().err
    assert "shot00001_9: not in the shot table" in err and "shot00003_1: not in the shot table" in err


def test_pickled_weights_are_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "vlm"
    folder.mkdir()
    for path in (work / "vlm").iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    call = words(work, tmp_path / "judged.tsv", "--vlm", str(folder), "-o", str(tmp_path / "x.trec"))
    assert main(call) == 2
    assert "the weights are a pickle, which may run code when it is loaded" in capsys.readouterr().err

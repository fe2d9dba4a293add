"""`avs eval-retrieval` as a user runs it, on small stores of a tiny checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import make_clip
from tiny_stores import make_store

from avs.cli.main import main
from avs.core.store import FeatureStore
from avs.features.embedder import load_embedder, read_spec

LENGTHS = np.array([3, 33, 2, 4, 5])
CAPTIONS = """\
shot00001_4#0 a red circle
shot00001_2#0 two people dance
shot00001_4#1 a dog
shot00001_1#0 two people dance
shot00001_2#1 a house in the snow
"""
VIDEOS = ("shot00001_4", "shot00001_2", "shot00001_1")  # in the order of the captions; two shots are not described
VIDEO_OF = np.array([0, 1, 0, 2, 1])
TEXTS = [line.split(" ", 1)[1] for line in CAPTIONS.splitlines()]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint, a shot- and a frame-level store made by it, and captions."""
    root = tmp_path_factory.mktemp("work")
    spec = read_spec("clip", weights=make_clip(root / "weights"))
    rng = np.random.default_rng(0)
    for level, rows, lengths in (("shot", len(LENGTHS), None), ("frame", int(LENGTHS.sum()), LENGTHS)):
        vectors = rng.normal(size=(rows, spec.dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        make_store(root / f"features/tiny/{level}", vectors, lengths=lengths, spec=spec)
    (root / "tiny.caption.txt").write_text(CAPTIONS, encoding="utf-8")
    return root


def arguments(work: Path, *more: str, store: str = "shot", captions: str = "tiny.caption.txt") -> list[str]:
    where = ["--captions", str(work / captions), "--store", str(work / "features/tiny" / store)]
    return ["eval-retrieval", *where, *more]


def cosines(work: Path, level: str) -> np.ndarray:
    """(5 texts, 3 videos), of the mean of unit frames."""
    store = FeatureStore(work / f"features/tiny/{level}")
    texts = load_embedder("clip", weights=work / "weights").encode_texts(TEXTS)
    means = []
    for video in VIDEOS:
        frames = store.frames(video).astype(np.float64)
        mean = (frames / np.linalg.norm(frames, axis=1, keepdims=True)).mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    return texts @ np.array(means).T


def reported(work: Path, capsys: pytest.CaptureFixture[str], *more: str, store: str = "shot") -> dict:
    assert main(arguments(work, "--json", "--quiet", *more, store=store)) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("level", ["shot", "frame"])
def test_every_caption_ranks_the_described_videos_and_every_video_the_captions(
    work: Path, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = reported(work, capsys, store=level)
    assert (data["captions"], data["videos"]) == (5, 3)
    (system,) = data["systems"]
    assert system["system"] == {"shot": "tiny-shot", "frame": "tiny-frame mean"}[level]
    scores = cosines(work, level)
    own = scores[np.arange(5), VIDEO_OF]
    forth = 1 + (scores > own[:, None]).sum(axis=1)
    t2v, caption, group = system["rankings"]
    assert (t2v["direction"], t2v["queries"], t2v["candidates"]) == ("t2v", 5, 3)
    assert t2v["MnR"] == pytest.approx(forth.mean())
    assert t2v["R@1"] == pytest.approx(100 * (forth == 1).mean())
    back = [1 + int((scores[:, v] > scores[VIDEO_OF == v, v].max() + 1e-6).sum()) for v in range(3)]
    assert (caption["protocol"], caption["queries"], caption["candidates"]) == ("caption", 3, 5)
    assert caption["MnR"] == pytest.approx(np.mean(back))
    assert (group["protocol"], group["queries"], group["candidates"]) == ("group", 3, 3)
    assert {row["ties"] for row in system["rankings"]} == {"optimistic"}
    assert system["both_directions"] == [
        {"protocol": row["protocol"], "ties": "optimistic", "SumR": pytest.approx(t2v["SumR"] + row["SumR"])}
        for row in (caption, group)
    ]


def test_a_sentence_of_two_videos_ties_and_only_video_to_text(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (system,) = reported(work, capsys, "--ties", "both")["systems"]
    rows = {(row["direction"], row["protocol"], row["ties"]): row["MnR"] for row in system["rankings"]}
    assert len(rows) == 6
    assert rows["t2v", None, "optimistic"] == rows["t2v", None, "pessimistic"]
    assert rows["v2t", "caption", "optimistic"] < rows["v2t", "caption", "pessimistic"]


def test_only_what_was_asked_for(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (system,) = reported(work, capsys, "--directions", "v2t", "--protocol", "group", "--ties", "pessimistic")["systems"]
    (row,) = system["rankings"]
    assert (row["direction"], row["protocol"], row["ties"]) == ("v2t", "group", "pessimistic")
    assert system["both_directions"] == []


def test_aggregations_of_frames(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names, t2v = [], {}
    for options in (
        ["single"],
        ["kmeans_maxsim", "--k", "1"],
        ["kmeans_minrank", "--k", "1"],
        ["kmeans_minrank", "--k", "3"],
        ["kmeans_maxsim", "--k", "3", "--seed", "4"],
    ):
        (system,) = reported(work, capsys, "--aggregate", *options, store="frame")["systems"]
        names.append(system["system"])
        t2v[system["system"]] = system["rankings"][0]["MnR"]
    assert names == [
        "tiny-frame single", "tiny-frame kmeans_maxsim 1", "tiny-frame kmeans_minrank 1", "tiny-frame kmeans_minrank 3",
        "tiny-frame kmeans_maxsim 3",
    ]  # fmt: skip
    (mean,) = reported(work, capsys, store="frame")["systems"]
    assert t2v["tiny-frame kmeans_maxsim 1"] == t2v["tiny-frame kmeans_minrank 1"] == mean["rankings"][0]["MnR"]


def test_a_table_of_several_stores_and_a_file_of_ranks(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ranks.tsv"
    command = arguments(work, "--store", str(work / "features/tiny/frame"), "--per-query", str(path))
    assert main(command) == 0
    out, err = capsys.readouterr()
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0][:4] == ["system", "direction", "protocol", "ties"]
    assert [row[0] for row in rows[1:]] == ["tiny-shot"] * 5 + ["tiny-frame mean"] * 5
    assert [row[1:3] for row in rows[1:6]] == [
        ["t2v", "-"], ["v2t", "caption"], ["v2t", "group"], ["both", "caption"], ["both", "group"],
    ]  # fmt: skip
    assert ": 5 captions of 3 videos\n" in err and f"wrote {path}\n" in err
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    assert lines[0] == ["system", "direction", "protocol", "ties", "query", "rank", "average_precision"]
    assert len(lines) == 1 + 2 * (5 + 3 + 3)
    first = [line for line in lines if line[:2] == ["tiny-shot", "t2v"]]
    assert [line[4] for line in first] == [line.split()[0] for line in CAPTIONS.splitlines()]
    assert [line[4] for line in lines if line[:3] == ["tiny-shot", "v2t", "group"]] == list(VIDEOS)
    scores = cosines(work, "shot")
    wanted = 1 + (scores > scores[np.arange(5), VIDEO_OF][:, None]).sum(axis=1)
    assert [int(line[5]) for line in first] == wanted.tolist()
    assert [float(line[6]) for line in first] == pytest.approx(1 / wanted, abs=1e-6)

    assert main(command) == 0
    assert f"up to date: {path}" in capsys.readouterr().err
    assert main([*command, "--ties", "both"]) == 2
    assert "got:    changed: config.ways" in capsys.readouterr().err
    assert main([*command, "--ties", "both", "--force"]) == 0
    assert len(path.read_text().splitlines()) == 1 + 2 * 2 * (5 + 3 + 3)


def test_videos_without_features_are_all_named(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more.txt").write_text(CAPTIONS + "shot00009_1#0 a cat\nshot00009_2#0 a cup\n", encoding="utf-8")
    store = work / "features/tiny/shot"
    assert main(["eval-retrieval", "--captions", str(tmp_path / "more.txt"), "--store", str(store)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("avs eval-retrieval: videos of ")
    assert err.endswith(
        " without features: 2 problems\n"
        f"  shot00009_1: not in {store}\n"
        f"  shot00009_2: not in {store}\n"
        "  next:   extract their features, or take the captions of the store's videos (--split)\n"
    )


@pytest.mark.parametrize(
    ("store", "options", "message"),
    [
        ("shot", ["--aggregate", "mean"], "--aggregate is for frame-level stores"),
        ("frame", ["--aggregate", "kmeans_maxsim"], "got:    --aggregate kmeans_maxsim, --k None"),
        ("frame", ["--k", "2"], "got:    --aggregate mean, --k 2"),
        ("frame", ["--aggregate", "kmeans_minrank", "--k", "0"], "Invalid value for '--k'"),
        ("frame", ["--weights", "a", "--weights", "b"], "--weights does not fit the stores"),
        ("frame", ["--aggregate", "median"], "Invalid value for '--aggregate'"),
        ("none", [], "no such feature store"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    work: Path, store: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(work, *options, store=store)) == 2
    assert message in capsys.readouterr().err
    again = ["--store", str(work / "features/tiny" / "shot")]
    assert main(arguments(work, *again)) == 2
    assert 'two systems are called "tiny-shot"' in capsys.readouterr().err

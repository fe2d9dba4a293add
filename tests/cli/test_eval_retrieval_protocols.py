"""What papers do in `avs eval-retrieval`: paragraphs, DiDeMo's moments, R@50, the aggregation study, the plot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_checkpoints import make_clip
from tiny_stores import make_store

from avs.cli.main import main
from avs.core.artifacts import Manifest, read_manifest
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore
from avs.core.store_writer import FeatureWriter, ShotFeatures
from avs.features.embedder import load_embedder, read_spec
from avs.models.clip_straight import aggregate

LENGTHS = np.array([3, 12, 2, 6])
CAPTIONS = """\
shot00001_2#0 two people dance
shot00001_1#0 a red circle
shot00001_2#1 a house in the snow
shot00001_4#0 a dog
shot00001_3#0 a car
"""
DIDEMO = [
    {"video": "1@N0.mov", "description": "a dog", "times": [[0, 0], [0, 0]]},
    {"video": "2@N0.mov", "description": "a red circle", "times": [[1, 1]]},
    {"video": "1@N0.mp4", "description": "a house", "times": [[2, 3], [2, 2]]},
]
FRAME_TIMES_S = np.array([1.0, 4.9, 5.0, 9.9, 10.0, 17.4, 17.5, 30.9, 31.0, 40.0])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, stores that it made at both levels, one of videos with odd names, captions, a shot table."""
    root = tmp_path_factory.mktemp("work")
    spec = read_spec("clip", weights=make_clip(root / "weights"))
    rng = np.random.default_rng(0)
    for level, rows, lengths in (("shot", len(LENGTHS), None), ("frame", int(LENGTHS.sum()), LENGTHS)):
        make_store(root / f"features/tiny/{level}", rng.normal(size=(rows, spec.dim)), lengths=lengths, spec=spec)
    make_whole_videos(root / "features/whole/frame", spec, rng)
    (root / "tiny.caption.txt").write_text(CAPTIONS, encoding="utf-8")
    (root / "test_data.json").write_text(json.dumps(DIDEMO), encoding="utf-8")
    rows = "".join(f"shot00001_{n}\t00001\t{10 * n}\t{10 * n + n}\n" for n in range(1, 5))
    (root / "shots.tsv").write_text(f"shot\tvideo\tstart_s\tend_s\n{rows}", encoding="utf-8")
    return root


def make_whole_videos(folder: Path, spec: EmbedderSpec, rng: np.random.Generator) -> None:
    writer = FeatureWriter(folder, Manifest("feature-store", {"level": "frame"}, {}, spec.to_json()), dtype="float32")
    ids = ["shotx--1.40N0_1", "shotx--2.40N0_1"]
    for shot in ids:
        vectors = rng.normal(size=(len(FRAME_TIMES_S), spec.dim))
        writer.add(ShotFeatures(shot, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), FRAME_TIMES_S))
    writer.commit(ids)


def arguments(work: Path, *more: object, store: str = "tiny/frame", captions: str = "tiny.caption.txt") -> list[str]:
    where = ["--captions", str(work / captions), "--store", str(work / "features" / store)]
    return ["eval-retrieval", *where, *map(str, more)]


def reported(capsys: pytest.CaptureFixture[str], command: list[str]) -> dict:
    assert main([*command, "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


def table(capsys: pytest.CaptureFixture[str], command: list[str]) -> list[list[str]]:
    assert main([*command, "--quiet"]) == 0
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("how", "ids"),
    [
        ("first", ["shot00001_2#0", "shot00001_1#0", "shot00001_4#0", "shot00001_3#0"]),
        ("paragraph", [f"shot00001_{n}#paragraph" for n in (2, 1, 4, 3)]),
    ],
)
def test_one_caption_of_each_video(
    work: Path, tmp_path: Path, how: str, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ranks.tsv"
    data = reported(capsys, arguments(work, "--captions-per-video", how, "--per-query", path))
    assert (data["captions"], data["videos"]) == (4, 4)
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    assert [row[4] for row in rows if row[1] == "t2v"] == ids
    assert main(arguments(work, "--per-query", path)) == 2
    assert "inputs.captions" in capsys.readouterr().err


def test_recall_at_other_ranks_is_added_and_the_rest_stays(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = table(capsys, arguments(work))
    after = table(capsys, arguments(work, "--recall-at", 50, "--recall-at", 2, "--recall-at", 5))
    place = before[0].index("R@10") + 1
    assert after[0] == [*before[0][:place], "R@2", "R@50", *before[0][place:]]
    assert [row[:place] + row[place + 2 :] for row in after] == before
    (system,) = reported(capsys, arguments(work, "--recall-at", 50, "--recall-at", 2))["systems"]
    t2v = system["rankings"][0]
    assert t2v["R@50"] == 100 and t2v["R@1"] <= t2v["R@2"] <= t2v["R@5"]


def test_the_study_of_aggregations_in_one_table(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = table(capsys, arguments(work, "--aggregate", "all"))
    assert rows[0] == [
        "aggregation", "system", "direction", "protocol", "ties", "R@1", "R@5", "R@10", "MdR", "MnR", "StdR",
    ]  # fmt: skip
    names = [name for k in range(2, 11) for name in (f"A_{k}", f"A_{k} (maxsim)")]
    assert [row[0] for row in rows[1:]] == ["A_s", "A_avg", *names]
    assert {row[2] for row in rows[1:]} == {"t2v"}
    for aggregation, options in (
        ("A_s", ["single"]),
        ("A_avg", ["mean"]),
        ("A_3", ["kmeans_minrank", "--k", 3]),
        ("A_3 (maxsim)", ["kmeans_maxsim", "--k", 3]),
        ("A_10 (maxsim)", ["kmeans_maxsim", "--k", 10]),
    ):
        header, alone = table(capsys, arguments(work, "--directions", "t2v", "--aggregate", *options))[:2]
        (row,) = (row for row in rows if row[0] == aggregation)
        assert row[1] == alone[0]
        assert row[5:] == [alone[header.index(measure)] for measure in rows[0][5:]]


def test_the_study_as_json_and_in_both_directions(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = reported(capsys, arguments(work, "--aggregate", "all", "--directions", "both"))
    assert [one["aggregation"] for one in data["systems"]][:4] == ["A_s", "A_avg", "A_2", "A_2 (maxsim)"]
    assert [row["direction"] for row in data["systems"][0]["rankings"]] == ["t2v", "v2t", "v2t"]


def didemo(work: Path, *more: str) -> list[str]:
    paragraphs = ("--captions-per-video", "paragraph")
    return arguments(work, *paragraphs, *more, store="whole/frame", captions="test_data.json")


@pytest.mark.parametrize(
    ("options", "seen_s"),
    [
        ([], [[1.0, 4.9, 5.0, 9.9, 10.0, 17.4, 17.5, 30.9]] * 2),
        (["--proposals"], [[1.0, 4.9, 10.0, 17.4], [5.0, 9.9]]),  # [0, 5) and [10, 17.5); [5, 10)
    ],
)
def test_frames_of_didemo_that_count(
    work: Path, tmp_path: Path, options: list[str], seen_s: list[list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    store = FeatureStore(work / "features/whole/frame")
    seen = [store.frames(shot)[np.isin(FRAME_TIMES_S, times)] for shot, times in zip(store.ids, seen_s, strict=True)]
    means = aggregate([("1", seen[0]), ("2", seen[1])], "mean")[:, 0]
    texts = load_embedder("clip", weights=work / "weights").encode_texts(["a dog a house", "a red circle"])
    scores = texts @ means.T
    ranks = [1 + int((row > row[i]).sum()) for i, row in enumerate(scores)]
    assert main(didemo(work, "--per-query", str(tmp_path / "ranks.tsv"), *options)) == 0
    said = capsys.readouterr().err
    assert ("the described moments" if options else "the first 31 s of a video") in said
    assert "note: test_data.json: 2 videos, 3 captions; the published part has 1,004 videos, 4,021 captions" in said
    rows = [line.split("\t") for line in (tmp_path / "ranks.tsv").read_text().splitlines()]
    assert [int(row[5]) for row in rows if row[1] == "t2v"] == ranks


def test_ranks_by_other_frames_are_other_ranks(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "ranks.tsv")
    assert main(didemo(work, "--per-query", path)) == 0
    assert main(didemo(work, "--per-query", path, "--proposals")) == 2
    assert "changed: inputs.seen" in capsys.readouterr().err


def test_frames_that_count_change_the_scores(work: Path) -> None:
    """The one above could not fail if all frames gave the same vectors."""
    from avs.pipeline.search.zero_shot import CaptionedFrames

    store = FeatureStore(work / "features/whole/frame")
    seen = {"1@N0": ((0.0, 5.0),), "2@N0": ((30.9, 31.0), (39.0, 50.0))}
    frames = CaptionedFrames("x", ("2@N0", "1@N0"), [store], seen)
    assert np.array_equal(frames._frames(store, "1@N0", 0), store.frames(store.ids[0])[:2])
    assert np.array_equal(frames._frames(store, "2@N0", 1), store.frames(store.ids[1])[[7, 9]])


def test_proposals_that_cannot_be_searched(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(work, "--proposals")) == 2
    assert "--proposals is for paragraphs of DiDeMo" in capsys.readouterr().err
    late = [{**moment, "times": [[40, 40]]} for moment in DIDEMO]
    (work / "late.json").write_text(json.dumps(late), encoding="utf-8")
    command = ["--captions-per-video", "paragraph", "--proposals"]
    assert main(arguments(work, *command, store="whole/frame", captions="late.json")) == 2
    assert "1@N0: no frame within 200 to 205 s in " in capsys.readouterr().err


@pytest.mark.parametrize("lengths", ["--shots", None])
def test_ranks_over_lengths_are_drawn(
    work: Path, tmp_path: Path, lengths: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ranks.png"
    options = [lengths, work / "shots.tsv"] if lengths else []
    command = arguments(work, "--plot", path, *options, store="tiny/shot" if lengths else "tiny/frame")
    assert main(command) == 0
    assert f"wrote {path}\n" in capsys.readouterr().err
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    assert len(pixels) > 100_000
    assert (pixels[:, 0] - pixels[:, 2] > 100).any(), "no red median line"
    assert (pixels[:, 2] - pixels[:, 0] > 20).any(), "no blue dots"
    assert read_manifest(path)["type"] == "rank-plot"
    assert main(command) == 0
    assert f"up to date: {path}" in capsys.readouterr().err
    if lengths:
        later = (work / "shots.tsv").read_text().replace("\t44", "\t45")
        (tmp_path / "later.tsv").write_text(later, encoding="utf-8")
        assert main([*command, "--shots", str(tmp_path / "later.tsv")]) == 2
        assert "changed: inputs.lengths" in capsys.readouterr().err


@pytest.mark.parametrize("systems", [1, 2, 5])
def test_the_plot_has_a_panel_for_each_system_with_rank_1_on_top(systems: int) -> None:
    from avs.metrics.text_to_video import rank_videos
    from avs.pipeline.search.rank_plot import draw_ranks

    video_of = np.array([0, 0, 1, 2])
    lengths_s = np.array([4.0, 8.0, 2.0])
    ranking = rank_videos(np.random.default_rng(0).random((4, 3)), video_of)
    figure = draw_ranks({f"system {n}": ranking for n in range(systems)}, video_of, lengths_s)
    panels = [panel for panel in figure.axes if panel.axison]
    assert [panel.get_title().split(" (")[0] for panel in panels] == [f"system {n}" for n in range(systems)]
    for panel in panels:
        bottom, top = panel.get_ylim()
        assert bottom > top and panel.get_yscale() == "log"
        dots, medians = panel.get_lines()
        assert dots.get_xdata().tolist() == [4, 4, 8, 2] and dots.get_ydata().tolist() == ranking.ranks.tolist()
        assert medians.get_xdata().tolist() == [2, 4, 4, 8]


def test_lengths_are_those_of_the_shots_or_of_the_frames(work: Path) -> None:
    from avs.core.errors import UnknownIdError
    from avs.core.shots import read_shot_table
    from avs.pipeline.search.rank_plot import video_lengths_s

    shots = read_shot_table(work / "shots.tsv")
    assert video_lengths_s(["shot00001_2", "shot00001_1", "00001"], shots, []).tolist() == [2, 1, 44]
    store = FeatureStore(work / "features/tiny/frame")
    assert video_lengths_s(["shot00001_2", "shot00001_1"], None, [store]).tolist() == [5.5, 1.0]
    whole = FeatureStore(work / "features/whole/frame")
    assert video_lengths_s(["2@N0"], None, [whole]).tolist() == [39.0]
    for table_or_none in (shots, None):
        with pytest.raises(UnknownIdError, match="2 problems"):
            video_lengths_s(["a", "shot00001_1", "b"], table_or_none, [store])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plot", "ranks.jpg"], "the plot is a PNG"),
        (["--plot", "ranks.png", "--directions", "v2t"], "--plot shows the ranks of captions"),
        (["--plot", "ranks.png"], "--plot needs the lengths of the videos"),
        (["--plot", "ranks.png", "--shots", "absent.tsv"], "no such shot table"),
        (["--aggregate", "all"], "--aggregate is for frame-level stores"),
        (["--aggregate", "all", "--k", "3"], "--k is the number of centroids"),
        (["--recall-at", "0"], "Invalid value for '--recall-at'"),
        (["--captions-per-video", "last"], "Invalid value for '--captions-per-video'"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    work: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(work, *options, store="tiny/shot")) == 2
    assert message in capsys.readouterr().err
    assert not Path("ranks.png").exists()

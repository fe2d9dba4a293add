from __future__ import annotations

import json
from pathlib import Path

import pytest

from avs.cli.main import main
from avs.core.artifacts import Manifest, write_manifest
from avs.core.shots import ShotTable, write_shot_table

TOPICS = [str(n) for n in range(731, 751)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A topics file, a shot table and ranked lists for TV23; commands run inside."""
    monkeypatch.chdir(tmp_path)
    Path("topics.txt").write_text("".join(f"{topic}  something\n" for topic in TOPICS))
    Path("table").write_text("07476 15\n")
    Path("x.trec").write_text("".join(f"{t} 0 shot07476_{n} {n} {20 - n} T\n" for t in TOPICS for n in range(1, 11)))
    return tmp_path


def make(*changed: str, **options: str) -> int:
    settings = {
        "topics": "topics.txt", "edition": "tv23", "shots": "table", "pid": "TEAM",
        "priority": "1", "class": "F", "task": "M", "novelty": "C", "trtype": "D", "desc": "a & b", "elapsed": "0.3",
        **options,
    }  # fmt: skip
    ranked = settings.pop("ranked", "x.trec")
    return main(
        [
            "make-run",
            ranked,
            *(word for name, value in settings.items() if value for word in (f"--{name}", value)),
            *changed,
        ]
    )


def test_a_run_is_written_under_its_id_and_passes_check_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make() == 0
    assert capsys.readouterr().err == (
        "wrote runs/F_M_C_D_TEAM.23_1.xml: 1 run, 20 topics, 200 shots; it passes avs check-run\n"
        "next: submit it, or avs eval runs/F_M_C_D_TEAM.23_1.xml --qrels avs.qrels.main.tv23\n"
    )
    text = Path("runs/F_M_C_D_TEAM.23_1.xml").read_text()
    assert 'desc="a &amp; b"' in text and '<videoAdhocSearchTopicResult tNum="731" elapsedTime="1">' in text
    assert sorted(p.name for p in Path("runs").iterdir()) == [
        "F_M_C_D_TEAM.23_1.xml",
        "F_M_C_D_TEAM.23_1.xml.manifest.json",
    ]
    assert main(["check-run", "runs/F_M_C_D_TEAM.23_1.xml", "--edition", "tv23", "--shots", "table"]) == 0


def test_again_is_up_to_date_and_a_change_needs_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make() == 0
    before = Path("runs/F_M_C_D_TEAM.23_1.xml").stat().st_mtime_ns
    capsys.readouterr()
    assert make() == 0
    assert capsys.readouterr().err == "up to date: runs/F_M_C_D_TEAM.23_1.xml\n"
    assert make(desc="another") == 2
    assert "made before from other inputs or settings" in capsys.readouterr().err
    assert Path("runs/F_M_C_D_TEAM.23_1.xml").stat().st_mtime_ns == before
    assert make("--force", desc="another") == 0
    assert 'desc="another"' in Path("runs/F_M_C_D_TEAM.23_1.xml").read_text()


def test_it_asks_for_algo_from_tv24_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (Path("topics.txt"), Path("x.trec")):
        text = path.read_text()
        path.write_text("".join(f"{int(line[:3]) + 20}{line[3:]}\n" for line in text.splitlines()))
    assert make(edition="tv24") == 0
    warning = "warning: runs/F_M_C_D_TEAM.24_1.xml:4: no algo: each sample run of NIST has it, C or V; its DTD may"
    assert warning in capsys.readouterr().err
    assert make("--force", edition="tv24", algo="C") == 0
    assert "warning" not in capsys.readouterr().err


def test_json_and_another_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make("--json", "-o", "mine") == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert (data["path"], data["topics"], data["shots"], data["cut_topics"]) == (
        "mine/F_M_C_D_TEAM.23_1.xml", 20, 200, 0,
    )  # fmt: skip
    assert err == ""


def test_lists_made_for_sample_eval_are_taken(folder: Path) -> None:
    Path("x.trec").write_text("".join(f"1{line}\n" for line in Path("x.trec").read_text().splitlines()))
    assert make() == 0
    assert 'tNum="731"' in Path("runs/F_M_C_D_TEAM.23_1.xml").read_text()


def test_deep_lists_are_cut_and_it_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("table").write_text("07476 1500\n")
    rows = (f"{t} 0 shot07476_{n} {n} {-n} T\n" for t in TOPICS for n in range(1, 1101))
    Path("x.trec").write_text("".join(rows))
    assert make() == 0
    assert "cut 20 lists to their best 1000, as many as NIST takes\n" in capsys.readouterr().err
    assert Path("runs/F_M_C_D_TEAM.23_1.xml").read_text().count("<item ") == 20_000


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"task": ""}, "a run of tv23: 1 problem\n  --task: required, one of M P"),
        ({"edition": "tv2023"}, 'unknown edition "tv2023"; did you mean "tv23"?'),
        ({"edition": "tv24"}, "topic 731 is not of tv24, which has 751..770 (main), 681..700 (progress)"),
        ({"priority": "16"}, 'attribute "priority" is "16", must be one of 1 2 3'),
        ({"algo": "C"}, "--algo: runs of tv23 have no such attribute: leave it out"),
        ({"task": "P"}, "invalid query [731] in run# 1 of TEAM: it is of the main task, the run is for the progress"),
        ({"pid": "a/b"}, '--pid: must be letters, digits, "_" and "-", the first a letter or digit; got "a/b"'),
        ({"elapsed": "soon"}, "no such file of elapsed seconds (nor is it a number)"),
        ({"elapsed": ""}, "how long the search took is not known\n  where:  x.trec"),
        ({"ranked": "y.trec"}, "no such file of ranked lists"),
        ({"shots": "topics.txt"}, "not a shot table"),
        ({"topics": "x.trec"}, "this is a run, not a topic file: were two files swapped?"),
        ({"desc": " "}, "empty desc in run# 1 of TEAM"),
    ],
)
def test_user_errors_exit_2_and_write_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], options: dict[str, str], error: str
) -> None:
    if options.get("ranked") == "y.trec":
        options = {**options, "elapsed": ""}
    assert make(**options) == 2
    assert error in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_shot_of_another_collection_or_twice_or_a_truncated_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Path("x.trec").read_text()
    Path("x.trec").write_text(good.replace("shot07476_3 ", "shot00001_3 ", 1))
    assert make() == 2
    assert "invalid shot ID [shot00001_3] for query 731 in run# 1 of TEAM: V3C2 has" in capsys.readouterr().err
    Path("x.trec").write_text(good.replace("shot07476_3 ", "shot07476_2 ", 1))
    assert make() == 2
    assert "x.trec:3: shot07476_2 is repeated for topic 731, first on line 2" in capsys.readouterr().err
    Path("x.trec").write_text(good[: good.rindex(" 10 10 T")])
    assert make() == 2
    assert "x.trec:200: expected 6 fields, got 3" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_elapsed_comes_from_the_search_that_made_the_lists(folder: Path) -> None:
    write_manifest(Path("x.trec"), Manifest("ranked-lists", seconds=41.0))
    assert make(elapsed="") == 0
    assert 'elapsedTime="3"' in Path("runs/F_M_C_D_TEAM.23_1.xml").read_text()  # 41 s / 20 topics, rounded up


def test_the_former_option_is_refused_with_what_to_type(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-run", "--ranked", "x.trec", "--topics", "topics.txt"]) == 2
    assert capsys.readouterr().err == (
        "avs make-run: --ranked is no longer an option of avs make-run\n"
        "  next:   use the file alone, as in avs make-run LISTS --topics TOPICS ...\n"
    )


def test_own_videos(folder: Path) -> None:
    write_shot_table(ShotTable(["shotholiday_1", "shotholiday_2"], [0, 1], [1, 2]), Path("shots.tsv"))
    Path("mine.txt").write_text("q1  a beach\n")
    Path("x.trec").write_text("q1 0 shotholiday_2 1 0.5 T\n")
    options = {"topics": "mine.txt", "edition": "custom", "shots": "shots.tsv"}
    assert make(**options) == 0
    assert Path("runs/F_M_C_D_TEAM.custom_1.xml").is_file()


def test_a_run_that_claims_less_help_than_its_list_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.trec").write_text(Path("x.trec").read_text().replace(" T\n", " R_T\n"))
    assert make() == 0
    assert "warning: class F claims less help of users than x.trec, which is of class R\n" in capsys.readouterr().err
    assert make(**{"class": "R"}) == 0
    assert "warning" not in capsys.readouterr().err

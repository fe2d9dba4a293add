from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from avs.cli.main import main

RUN = """<!DOCTYPE videoAdhocSearchResults SYSTEM "https://www-nlpir.nist.gov/projects/tv2025/dtds/videoAdhocSearchResults.dtd">
<videoAdhocSearchResults>
<videoAdhocSearchRunResult trType="D" class="F" task="M" novelty="C" pid="ME" priority="1" desc="x">
<videoAdhocSearchTopicResult tNum="q1" elapsedTime="5">
<item seqNum="1" shotId="shota_1"/>
</videoAdhocSearchTopicResult>
</videoAdhocSearchRunResult>
</videoAdhocSearchResults>
"""  # noqa: E501  # as files have it


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.xml").write_text(RUN)
    Path("bad.xml").write_text(RUN.replace("shota_1", "shota_9").replace('elapsedTime="5"', 'elapsedTime="0.5"'))
    Path("table").write_text("shota_1\nshota_2\n")


def check(*words: str, edition: str = "custom") -> int:
    return main(["check-run", *words, "--edition", edition, "--shots", "table"])


def test_a_good_run_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("good.xml") == 0
    out, err = capsys.readouterr()
    assert out == "OK good.xml: 1 run, 1 topic, 1 shot, checked against 2 shots of table\n" and err == ""
    assert check("good.xml", "--quiet") == 0
    assert capsys.readouterr().out == ""


def test_every_fault_of_every_file_is_printed_and_the_exit_code_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("good.xml", "bad.xml") == 2
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "OK good.xml: 1 run, 1 topic, 1 shot, checked against 2 shots of table",
        'bad.xml:4: elapsedTime "0.5" for query q1 in run# 1 of ME is not a whole number of seconds',
        "bad.xml:5: invalid shot ID [shota_9] for query q1 in run# 1 of ME: video a has shots 1..2",
    ]
    assert err == "avs check-run: 1 of 2 run files would be refused, 2 problems\n  where:  bad.xml\n"


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    items = "".join(f'<item seqNum="{n}" shotId="shotb_{n}"/>\n' for n in range(1, 101))
    Path("bad.xml").write_text(RUN.replace('<item seqNum="1" shotId="shota_1"/>\n', items))
    assert check("bad.xml") == 2
    assert capsys.readouterr().out.splitlines()[3:] == [
        "... and 97 more of this kind",
        "bad.xml: --json lists all 100 problems",
    ]
    assert check("bad.xml", "--json") == 2
    data = json.loads(capsys.readouterr().out)
    assert not data["ok"] and len(data["findings"]["bad.xml"]) == 100
    assert data["findings"]["bad.xml"][0] == {
        "line": 5,
        "what": "invalid shot ID [shotb_1] for query q1 in run# 1 of ME: table has no video b",
    }


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    Path("topics").write_text("q1  one\nq2  two\n")
    Path("pids").write_text("UIT\n")
    Path("dropped").write_text("shota_1\n")
    assert check("good.xml", "--topics", "topics", "--pids", "pids", "--dropped", "dropped", "--task", "P") == 2
    assert capsys.readouterr().out.splitlines() == [
        "good.xml:3: missing results for query q2 in run# 1 of ME",
        'good.xml:3: pid "ME" is not registered',
        'good.xml:3: run# 1 of ME is for task "M", must be "P"',
        "good.xml:5: invalid shot ID [shota_1] for query q1 in run# 1 of ME: dropped from the collection",
    ]


def test_user_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("god.xml") == 2
    assert "no such run file\n  where:  god.xml\n  next:   did you mean good.xml?" in capsys.readouterr().err
    assert check("good.xml", "--task", "X") == 2
    assert "--task is M (main) or P (progress)" in capsys.readouterr().err
    assert check("good.xml", edition="tv24") == 2
    assert "the shot table is not of tv24, which searches V3C2" in capsys.readouterr().err


def test_nists_good_sample(shared: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = shared("nist/sample_runs") / "all.OK.M.explain.videoFeatureExtractionResults.xml"
    table = str(shared("nist/V3C2.validShotTable"))
    assert main(["check-run", str(run), "--edition", "tv24", "--shots", table, "--task", "M"]) == 0
    assert "20 topics, 180 shots, checked against 1425451 shots of V3C2.validShotTable" in capsys.readouterr().out

from __future__ import annotations

import re
from pathlib import Path

import pytest

from avs.cli.main import main
from avs.core.errors import ConfigError
from avs.trecvid.editions import get_edition

TV26 = "id: tv26\nyear: 2026\ntopics: {M: [771, 790], P: [681, 700]}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    Path("my.yaml").write_text(text)
    return Path("my.yaml")


def test_what_a_file_leaves_out_is_as_in_the_newest_year() -> None:
    edition, tv25 = get_edition("TV26", written(TV26)), get_edition("tv25")
    assert (edition.id, edition.year, edition.topic_ids("P")) == ("tv26", 2026, tuple(map(str, range(681, 701))))
    assert edition.dtd_url == tv25.dtd_url.replace("2025", "2026")
    assert (edition.attributes, edition.collection, edition.max_results) == (
        tv25.attributes, tv25.collection, tv25.max_results,
    )  # fmt: skip


def test_what_a_file_says_replaces_it() -> None:
    text = TV26 + "like: tv23\ncollection: {name: V3C3, digits: 5, first_video: 17236, last_video: 28450}\n"
    text += "attributes: {priority: {values: [1, 2]}, gpu: {optional: true}}\nmax_results: 50\nscored_with: [q]\n"
    edition = get_edition("tv26", written(text))
    assert edition.collection.problem("shot17235_1") == "V3C3 has videos 17236..28450"
    assert [a.name for a in edition.attributes] == [*(a.name for a in get_edition("tv23").attributes), "gpu"]
    priority, gpu = edition.attribute("priority"), edition.attribute("gpu")
    assert priority and priority.values == ("1", "2") and priority.required
    assert gpu and gpu.values is None and not gpu.required
    assert (edition.max_results, edition.scored_with) == (50, ("q",))
    assert get_edition("tv26", written(TV26 + "collection: V3C1\n")).collection.last_video == 7475


def test_all_faults_come_at_once_with_their_lines() -> None:
    file = written("id: tv25\nyear: 2026\nlike: tv99\ncollection: V3C9\ntopics: {M: [790, 771]}\n")
    with pytest.raises(ConfigError) as caught:
        get_edition("tv25", file)
    assert [line.split(",")[0] for line in str(caught.value).splitlines()] == [
        "config my.yaml: 4 problems",
        '  my.yaml:1: id: avs knows "tv25" already: choose another id',
        '  my.yaml:3: like: unknown edition "tv99"',
        '  my.yaml:4: collection: unknown collection "V3C9"',
        "  my.yaml:5: topics.M: the last topic 771 is before the first 790",
    ]
    with pytest.raises(ConfigError, match="my.yaml:4: topic: unknown key; did you mean"):
        get_edition("tv26", written(TV26 + "topic: {}\n"))
    with pytest.raises(ConfigError, match='the file describes "tv26"\n  where:  my.yaml\n  wanted: id: tv27'):
        get_edition("tv27", written(TV26))


def test_a_run_of_the_edition_is_made_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    written(TV26)
    topics = range(771, 791)
    Path("topics.txt").write_text("".join(f"{topic}  something\n" for topic in topics))
    Path("table").write_text("07476 15\n")
    Path("x.trec").write_text("".join(f"{topic} 0 shot07476_1 1 1 T\n" for topic in topics))
    edition = ["--edition", "tv26", "--edition-file", "my.yaml", "--shots", "table"]
    run = "--pid TEAM --priority 1 --class F --task M --novelty C --trtype D --desc x --algo C --elapsed 1".split()
    make = ["make-run", "x.trec", "--topics", "topics.txt", *edition, *run]
    assert main(make) == 0 and main(["check-run", "runs/F_M_C_D_TEAM.26_1.xml", *edition]) == 0
    written(TV26 + "max_results: 10\n")
    assert main(make) == 2  # made under other rules
    assert "made before from other inputs or settings" in capsys.readouterr().err


def test_the_example_of_the_documentation() -> None:
    readme = (Path(__file__).resolve().parents[2] / "topics" / "README.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert example
    assert get_edition("tv26", written(example[1])).topics["M"] == (771, 790)
    everything = get_edition("tv26", written(re.sub("^# ", "", example[1], flags=re.MULTILINE)))
    assert everything.scored_with == ("avs.qrels.main.tv26",) and everything.attribute("gpu")

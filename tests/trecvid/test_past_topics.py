from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.errors import ConfigError, DataError
from avs.fusion.folds import leave_one_out
from avs.trecvid.edition_file import read_editions
from avs.trecvid.past_topics import edition_of, past_qrels


def qrels_file(path: Path, *topics: str, judgment: int = 1) -> Path:
    """Judgments as NIST writes them: topics bear a leading 1, the last column is the judgment."""
    lines = [f"1{topic} 0 shot00001_{i} 1 {judgment if i == 1 else 0}\n" for topic in topics for i in (1, 2)]
    path.write_text("".join(lines))
    return path


@pytest.fixture
def two_years(tmp_path: Path) -> list[Path]:
    tv19 = qrels_file(tmp_path / "avs.qrels.tv19", "591", "611", "612")
    return [tv19, qrels_file(tmp_path / "avs.qrels.main.tv21", *(str(t) for t in range(661, 669)))]


def test_all_judged_topics_unless_editions_are_named(two_years: list[Path]) -> None:
    everything = past_qrels(two_years, fit_on=None, submitted=("731",), study=False)
    assert everything.ids == ("591", "611", "612", *(str(t) for t in range(661, 669)))
    # 591 is of the progress set, which tv21 has too
    assert past_qrels(two_years, fit_on=("tv19",), submitted=(), study=False).ids == ("591", "611", "612")
    assert past_qrels(two_years, fit_on=("tv21",), submitted=(), study=False).ids[:2] == ("591", "661")
    assert past_qrels(two_years, fit_on=("tv19", "tv21"), submitted=(), study=False).ids == everything.ids


def test_judgments_of_topics_being_submitted_are_a_leak(two_years: list[Path]) -> None:
    with pytest.raises(ConfigError) as error:
        past_qrels(two_years, fit_on=None, submitted=("731", "661", "612"), study=False)
    assert str(error.value) == (
        "leakage: it would learn from the judgments of topics that are submitted\n"
        "  got:    topics 661, 612\n"
        "  next:   learn from other editions (--fit-on); or add --study, if this is a study of judged topics"
    )
    with pytest.raises(ConfigError, match="got:    topics 661, 662, 663, 664, 665 and 3 more\n"):
        past_qrels(two_years, fit_on=None, submitted=[str(t) for t in range(661, 681)], study=False)


def test_a_study_may_and_so_may_editions_that_are_not_submitted(two_years: list[Path]) -> None:
    assert "661" in past_qrels(two_years, fit_on=None, submitted=("661",), study=True).topics
    assert "661" not in past_qrels(two_years, fit_on=("tv19",), submitted=("661",), study=False).topics


def test_progress_topics_leak_from_one_year_into_the_next(two_years: list[Path]) -> None:
    with pytest.raises(ConfigError, match="^leakage: .*\n  got:    topics 591\n"):
        past_qrels(two_years, fit_on=("tv19",), submitted=("591", "661"), study=False)


def test_an_unknown_edition(two_years: list[Path]) -> None:
    with pytest.raises(ConfigError) as error:
        past_qrels(two_years, fit_on=("tv19", "tv26x"), submitted=(), study=False)
    assert str(error.value).startswith(
        'unknown edition "tv26x"\n  wanted: tv16, tv17, tv18, tv19, tv20, tv21, tv22, tv23, tv24, tv25, mini, custom\n'
    )


def test_an_edition_that_is_not_judged_here(two_years: list[Path]) -> None:
    with pytest.raises(ConfigError) as error:
        past_qrels(two_years[1:], fit_on=("tv21", "tv22", "tv23"), submitted=(), study=False)
    assert str(error.value) == (
        "no topic of tv22, tv23 is judged\n"
        f"  where:  {two_years[1]}\n"
        "  got:    8 topics of tv21\n"
        "  next:   give the qrels of these editions too: --qrels, repeatable"
    )


def test_a_topic_without_a_relevant_shot(tmp_path: Path, two_years: list[Path]) -> None:
    empty = qrels_file(tmp_path / "empty", "641", "642", judgment=0)
    with pytest.raises(DataError) as error:
        past_qrels([*two_years, empty], fit_on=None, submitted=(), study=False)
    assert str(error.value) == (
        "topics to learn from: 2 problems\n"
        "  topic 641: no shot is judged relevant: nothing can be learned from it\n"
        "  topic 642: no shot is judged relevant: nothing can be learned from it\n"
        "  next:   remove these topics from the qrels"
    )
    assert past_qrels([*two_years, empty], fit_on=("tv21",), submitted=(), study=False)  # tv20 is not asked


def test_two_files_that_judge_a_topic(tmp_path: Path, two_years: list[Path]) -> None:
    again = qrels_file(tmp_path / "again", "612", "661", "670")
    with pytest.raises(DataError) as error:
        past_qrels([*two_years, again], fit_on=None, submitted=(), study=False)
    assert str(error.value) == (
        "topics that two qrels files judge: 2 problems\n"
        f"  topic 612: in {two_years[0]} and {again}\n"
        f"  topic 661: in {two_years[1]} and {again}\n"
        "  next:   give the judgments of each topic once"
    )


def test_progress_topics_are_one_group_whatever_year_they_are_submitted_in() -> None:
    topics = ("591", "610", "611", "641", "661", "681", "701", "751", "901", "night")
    groups = {topic: edition_of(topic) for topic in topics}
    assert groups == {
        "591": "progress tv19 tv20 tv21",
        "610": "progress tv19 tv20 tv21",
        "611": "tv19",
        "641": "tv20",
        "661": "tv21",
        "681": "progress tv22 tv23 tv24",
        "701": "tv22",
        "751": "tv24",
        "901": "mini",
        "night": "other",
    }
    folds = leave_one_out(groups)
    assert next(fold.test for fold in folds if "591" in fold.test) == ("591", "610")


def test_an_edition_of_a_file_is_learned_from_and_held_out(tmp_path: Path, two_years: list[Path]) -> None:
    """Its main topics are a group of their own; its progress topics stay with those of other years."""
    for name, first in (("tv26", 771), ("tv27", 801)):
        text = f"id: {name}\nyear: 20{name[2:]}\ntopics: {{M: [{first}, {first + 19}], P: [681, 700]}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    described = read_editions([tmp_path / "tv26.yaml", tmp_path / "tv27.yaml"])
    files = [*two_years, qrels_file(tmp_path / "avs.qrels.tv26", "771", "790", "681")]
    found = past_qrels(files, fit_on=("tv26", "tv19"), submitted=("661",), study=False, described=described)
    assert found.ids == ("591", "611", "612", "771", "790", "681")
    groups = [edition_of(topic, described) for topic in ("771", "801", "681", "661", "791")]
    assert groups == ["tv26", "tv27", "progress tv22 tv23 tv24 tv26 tv27", "tv21", "other"]
    with pytest.raises(ConfigError, match="no topic of tv27 is judged"):
        past_qrels(two_years, fit_on=("TV27",), submitted=(), study=False, described=described)
    with pytest.raises(ConfigError, match='two files describe "tv26"'):
        read_editions([tmp_path / "tv26.yaml", tmp_path / "tv27.yaml", tmp_path / "tv26.yaml"])

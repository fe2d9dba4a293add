from __future__ import annotations

import pytest

from avs.core.errors import DataError, FormatError, UnknownIdError
from avs.core.topic import Topic, TopicSet


def test_topics_come_in_natural_order() -> None:
    topics = TopicSet([Topic("1000", "b"), Topic("999", "a")])
    assert topics.ids == ("999", "1000")
    assert topics.get("999").text == "a"
    assert topics[0].id == "999"


def test_a_duplicate_id_names_both_texts() -> None:
    with pytest.raises(FormatError, match="a topic id occurs twice") as caught:
        TopicSet([Topic("1", "a dog"), Topic("1", "a cat")])
    assert caught.value.got == '"a dog" and "a cat"'


def test_an_unknown_topic_says_what_there_is() -> None:
    with pytest.raises(UnknownIdError) as caught:
        TopicSet([Topic("731", "a"), Topic("750", "b")]).get("1731")
    assert str(caught.value) == 'unknown topic "1731"; did you mean "731"?\n  wanted: 731..750 (2 topics)'


@pytest.mark.parametrize(("mode", "text"), [("query", "q"), ("narrative", "n"), ("both", "q n")])
def test_query_modes(mode: str, text: str) -> None:
    assert Topic("1", "q", "n").query(mode) == text


def test_a_missing_narrative_is_an_error() -> None:
    with pytest.raises(DataError, match='query mode "both" needs a narrative'):
        Topic("1", "q").query("both")
    with pytest.raises(DataError, match="unknown query mode"):
        Topic("1", "q").query("narratives")


def test_empty_topics_are_refused() -> None:
    with pytest.raises(FormatError, match="no topics"):
        TopicSet([])
    with pytest.raises(FormatError, match="a topic must have a text"):
        Topic("1", "  ")
    with pytest.raises(FormatError, match="a topic id must be a word"):
        Topic("1 2", "x")

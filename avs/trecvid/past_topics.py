"""The judged topics of past editions that fusion and reranking learn from, and the check that none of them leaks."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from avs.core.errors import ConfigError, DataError, Problems
from avs.core.ids import some
from avs.core.qrels import Qrels, TopicQrels
from avs.trecvid.editions import Edition, editions_with_topics, get_edition
from avs.trecvid.qrels import read_qrels


def past_qrels(
    files: Sequence[Path],
    *,
    fit_on: Sequence[str] | None,
    submitted: Sequence[str],
    study: bool,
    described: Sequence[Edition] = (),
) -> Qrels:
    """The judgments to learn from.

    Args:
        files: qrels files; only one of them judges a topic.
        fit_on: names of the editions to learn from, such as ("tv19", "tv20"); None: all judged topics.
        submitted: ids of the topics that a list is made for; learning from their judgments is a leak.
        study: whether this is a study of judged topics and not a submission; then there is no leak.
        described: editions that avs does not know, of --edition-file.

    Raises:
        ConfigError: an edition is unknown, none of its topics is judged, or topics leak.
        DataError: two files judge a topic, or a topic has no relevant shot, so that nothing can be learned from it.
    """
    known = {edition.id: edition for edition in described}
    editions = [known.get(name.lower()) or get_edition(name) for name in fit_on or ()]
    judged = _merge(files)
    unjudged = [e.id for e in editions if not any(e.task_of(topic) for topic in judged)]
    if unjudged:
        raise ConfigError(
            f"no topic of {', '.join(unjudged)} is judged",
            where=", ".join(map(str, files)),
            got=f"{len(judged)} topics of {', '.join(editions_with_topics(judged, described)) or 'no one edition'}",
            next_step="give the qrels of these editions too: --qrels, repeatable",
        )
    chosen = {topic: qrels for topic, qrels in judged.items() if not editions or _any_has(editions, topic)}
    if not study:
        refuse_leak(chosen, submitted)
    _require_relevant(chosen)
    return Qrels(chosen)


def edition_of(topic: str, described: Sequence[Edition] = ()) -> str:
    """The group that a topic is held out with: its edition, or the progress set, whose topics return year after year.

    Args:
        described: editions that avs does not know.

    >>> edition_of("661"), edition_of("595"), edition_of("901"), edition_of("x7")
    ('tv21', 'progress tv19 tv20 tv21', 'mini', 'other')
    """
    editions = editions_with_topics([topic], described)
    if not editions:
        return "other"
    own = {edition.id: edition for edition in described}
    progress = all((own.get(name) or get_edition(name)).task_of(topic) == "P" for name in editions)
    return " ".join(["progress", *editions]) if progress else editions[0]


def edition_names(words: str | None) -> list[str] | None:
    """The editions of --fit-on, which a comma or a space separates; None without the option.

    >>> edition_names("tv19,tv20")
    ['tv19', 'tv20']

    Raises:
        ConfigError: the option names no edition.
    """
    if words is None:
        return None
    names = words.replace(",", " ").split()
    if not names:
        raise ConfigError("--fit-on names no edition", wanted="such as --fit-on tv19,tv20")
    return names


def _merge(files: Sequence[Path]) -> dict[str, TopicQrels]:
    merged: dict[str, TopicQrels] = {}
    first: dict[str, Path] = {}
    problems = Problems("topics that two qrels files judge")
    for file in files:
        for topic, qrels in read_qrels(file).topics.items():
            if topic in merged:
                problems.add(f"topic {topic}", f"in {first[topic]} and {file}")
            merged[topic] = qrels
            first.setdefault(topic, file)
    problems.raise_if_any(DataError, next_step="give the judgments of each topic once")
    return merged


def _any_has(editions: Sequence[Edition], topic: str) -> bool:
    return any(edition.task_of(topic) is not None for edition in editions)


def refuse_leak(learned_from: Container[str], submitted: Sequence[str]) -> None:
    """Check that no topic is both learned from and submitted.

    Raises:
        ConfigError: some topics are both.
    """
    leaked = [topic for topic in submitted if topic in learned_from]
    if leaked:
        raise ConfigError(
            "leakage: it would learn from the judgments of topics that are submitted",
            got=f"topics {some(leaked)}",
            next_step="learn from other editions (--fit-on); or add --study, if this is a study of judged topics",
        )


def _require_relevant(chosen: dict[str, TopicQrels]) -> None:
    problems = Problems("topics to learn from")
    for topic, qrels in chosen.items():
        if not qrels.relevant:
            problems.add(f"topic {topic}", "no shot is judged relevant: nothing can be learned from it")
    problems.raise_if_any(DataError, next_step="remove these topics from the qrels")

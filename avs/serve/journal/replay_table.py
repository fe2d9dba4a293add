"""A session that was asked again, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from avs.serve.journal.replay import Replay, ReplayedQuestion

LONGEST_TEXT, SHOWN_LINES, SHOWN_CHARACTERS = 48, 5, 16


def replay_lines(replay: Replay) -> Iterator[str]:
    """A line per question, then what was opened that is another, then the counts."""
    rows = [(str(one.number), _text(one), str(one.then), _plain(_told(one))) for one in replay.questions]
    if rows:
        yield from _columns([("", "question", "shots", ""), *rows], right=(0, 2))
        yield ""
    changed = [(_plain(name), _start(then), _start(now)) for name, (then, now) in replay.changed.items()]
    if changed:
        yield from _columns([("changed", "then", "now"), *changed])
        yield ""
    yield _counts(replay)


def _columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> Iterator[str]:
    """Rows of texts in columns, those of `right` with their ends below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.rjust(width) if at in right else text.ljust(width)
                 for at, (text, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        yield "  ".join(cells).rstrip()


def _counts(replay: Replay) -> str:
    asked, differ = len(replay.questions), sum(question.differs for question in replay.questions)
    words = [f"{differ} of {asked} lists differ" if asked else "there is no question in this journal"]
    pictures = sum(question.state == "picture" for question in replay.questions)
    if pictures:
        words.append(f"{pictures} not asked again, since pictures are not kept")
    if replay.damaged:
        more = ", ..." if len(replay.damaged) > SHOWN_LINES else ""
        lines = ", ".join(map(str, replay.damaged[:SHOWN_LINES])) + more
        words.append(f"damaged lines, which were passed over: {len(replay.damaged)} ({lines})")
    return "; ".join(words)


def _told(question: ReplayedQuestion) -> str:
    if question.state == "shots":
        return (
            f"differs from rank {question.first_rank} on: {question.gone} gone, {question.new} new, "
            f"{question.moved} at another rank; {question.now} shots now"
        )
    others = {
        "equal": "equal",
        "scores": f"the same shots; scores differ by up to {question.largest_difference:.2g}",
        "refused": f"refused: {question.why}",
        "picture": "not asked again: its picture is not kept",
    }
    return others[question.state]


def _text(question: ReplayedQuestion) -> str:
    text = _plain(" ".join((question.text or f"topic {question.topic}").split()))
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."


def _start(fingerprint: str) -> str:
    """The first characters of a fingerprint, without the name of its kind."""
    return _plain(fingerprint.rpartition(":")[2][:SHOWN_CHARACTERS])


def _plain(text: str) -> str:
    """What a terminal cannot take for a command."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)

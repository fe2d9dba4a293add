"""A list as one HTML file, which opens anywhere: what `avs serve --export-page` writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avs.core.config import validate_config
from avs.core.device import available_cores
from avs.core.errors import AvsError, ConfigError
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.core.topic import Topic
from avs.pipeline.serve_options import ServeOptions
from avs.pipeline.static_page import ShownSystem, StaticPage, reduced_picture
from avs.serve.answers import stamp_of
from avs.serve.journal.marks import MarkBook
from avs.serve.journal.recorded import words_of
from avs.serve.measured import measures_of
from avs.serve.media import WIDTHS, Media, media_cache
from avs.serve.opened.collection import Collection
from avs.serve.questions import Questions
from avs.serve.search.engine import ServedAnswer
from avs.serve.shapes import MOST_PARTS, MOST_RESULTS, MOST_SYSTEMS, TEXT_CHARACTERS, Query

SUFFIXES = (".html", ".htm")
MEASURED_SHOTS = 1000  # a list is measured this long, as its run would be, also where the page shows fewer
MOST_THREADS = 4
LONGEST_SIDE = 320  # of pictures, in pixels
SHOWN_MEASURES = {"infAP": "xinfAP", "iP@10": "P@10", "infNDCG": "infNDCG"}


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """What the page should show.

    Attributes:
        texts: sentences; several follow each other in time. None: the sentence of the topic.
        topic: whose judgments are shown, and whose ranked lists.
        by: systems, or ranked lists of --lists; none: every store.
        fuse: how they are fused.
        top: shots on the page.
    """

    texts: Sequence[str] = ()
    topic: str | None = None
    by: Sequence[str] = ()
    fuse: str = "average"
    top: int = 100


@dataclass(frozen=True, slots=True)
class ExportedPage:
    """A page that was written.

    Attributes:
        shots: on the page, of a list of `total`.
        without_picture: reason -> number of shots.
    """

    file: Path
    list: str
    shots: int
    total: int
    bytes: int
    without_picture: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """The summary as `avs serve --export-page --json` prints it."""
        return {
            "file": str(self.file), "list": self.list, "shots": self.shots, "total": self.total, "bytes": self.bytes,
            "without_picture": self.without_picture,
        }  # fmt: skip


def export_page(options: ServeOptions, asked: PageQuestion, path: Path, reporter: Reporter) -> ExportedPage:
    """Write the list of a question as a page.

    Raises:
        AvsError: the question cannot be answered, or the file cannot be called so.
    """
    require_page_question(asked, path)
    with Questions(options, reporter) as asking:
        collection = asking.collection
        query = query_of(asked, collection)
        answer = asking.answer(query, MarkBook(None, 0))
    shown = {
        part for at, shot in enumerate(answer.shown.shots[: asked.top])
        for part in (answer.chains[at] if answer.chains else (shot,))
    }  # fmt: skip
    pictures, missing = _pictures(collection, sorted(shown), reporter)
    page = _page(collection, answer, asked, pictures)
    page.write(path)
    for reason, count in missing.items():
        reporter.say(f"{count} shots without a picture: {reason}")
    return ExportedPage(
        path, answer.id, min(asked.top, len(answer.shown)), len(answer.shown), path.stat().st_size, missing
    )


def require_page_question(asked: PageQuestion, path: Path) -> None:
    """Check what can be checked before anything is opened.

    Raises:
        ConfigError: the options do not make a question; the file is not named as a page is, or is a folder.
    """
    if path.suffix.lower() not in SUFFIXES or path.is_dir():
        raise ConfigError(
            "a page is written to a file of its own",
            where="--export-page",
            got=path,
            wanted="a name that ends in .html",
        )
    if not asked.texts and asked.topic is None:
        raise ConfigError(
            "there is nothing to show", next_step='give a sentence (--text "a red circle") or a topic (--topic 901)'
        )
    wrong = [text for text in asked.texts if not text.strip() or len(text) > TEXT_CHARACTERS]
    if wrong or len(asked.texts) > MOST_PARTS:
        raise ConfigError(
            "not a question", where="--text", got=f"{len(asked.texts)} sentences, {len(wrong)} empty or too long",
            wanted=f"1 to {MOST_PARTS} sentences of 1 to {TEXT_CHARACTERS:,} characters",
        )  # fmt: skip
    if not 1 <= asked.top <= MOST_RESULTS or len(asked.by) > MOST_SYSTEMS:
        raise ConfigError(
            "more than a page shows", where="--top, --by", got=f"{asked.top} shots, {len(asked.by)} systems",
            wanted=f"1 to {MOST_RESULTS:,} shots, at most {MOST_SYSTEMS} systems",
        )  # fmt: skip


def query_of(asked: PageQuestion, collection: Collection) -> Query:
    """The question in the server's words.

    Raises:
        ConfigError: there is no such topic.
    """
    collection.require_names(asked.by)
    texts, in_files = list(asked.texts), [name for name in asked.by if name in collection.lists]
    if not texts and len(in_files) < max(1, len(asked.by)):
        texts = [_topic(asked.topic, collection).text]
    elif not texts and not any(asked.topic in collection.lists[name].run.lists for name in in_files):
        raise ConfigError("no shots of this topic are in the list", where=some(in_files), got=f"--topic {asked.topic}")
    given = {
        "parts": [{"text": text} for text in texts], "topic": asked.topic, "by": list(asked.by), "fuse": asked.fuse,
        "k": max(asked.top, min(MEASURED_SHOTS, collection.options.limits.k)),
    }  # fmt: skip
    return validate_config(given, Query, where="avs serve --export-page")


def _topic(topic: str | None, collection: Collection) -> Topic:
    if collection.topics is None:
        raise ConfigError(
            "the sentence of a topic is in a topic file", got=f"--topic {topic}", next_step="give it: --topics FILE"
        )
    if topic not in collection.topics.ids:
        raise ConfigError("no such topic", where="--topic", got=topic, wanted=some(collection.topics.ids))
    return collection.topics.get(topic)


def _pictures(
    collection: Collection, shots: Sequence[str], reporter: Reporter
) -> tuple[dict[str, bytes], dict[str, int]]:
    """Shot -> its picture; and why there is none -> number of shots."""
    options = collection.options
    cache = media_cache(options.cache, collection.columns, options.videos, options.keyframes)
    threads = min(MOST_THREADS, available_cores())
    media = Media(collection.columns, collection.videos, options.keyframes, cache, at_once=threads, sprites=1)
    found: dict[str, bytes] = {}
    missing = Counter[str]()

    def work(shot: str) -> bytes | str:
        try:
            return reduced_picture(media.keyframe(shot, WIDTHS[-1]), LONGEST_SIDE)
        except AvsError as error:
            return error.what
        except OSError as error:
            return error.strerror or "it cannot be decoded"

    with ThreadPoolExecutor(threads) as pool, reporter.stage("pictures", len(shots), "shots") as stage:
        for shot, made in zip(shots, pool.map(work, shots), strict=True):
            if isinstance(made, bytes):
                found[shot] = made
            else:
                missing[made] += 1
            stage.advance()
    return found, dict(missing)


def _page(collection: Collection, answer: ServedAnswer, asked: PageQuestion, pictures: dict[str, bytes]) -> StaticPage:
    plan, columns = answer.plan, collection.columns
    known = collection.topic(plan.topic)
    named = known.text if known else ""
    words = words_of(plan.query) or named
    measures = measures_of(collection, plan.topic, answer.ranked, None)
    judged = collection.qrels.topics if collection.qrels is not None else {}
    figures = measures.all if measures is not None else {}
    scores = {shown: {plan.topic: figures[name].text} for name, shown in SHOWN_MEASURES.items() if name in figures}
    shots = answer.shown.shots[: asked.top]

    def times_s(shot: str) -> tuple[float, float] | None:
        start_s, end_s = columns.times_s(columns.row(shot)) if shot in columns else (None, None)
        return None if start_s is None or end_s is None else (start_s, end_s)

    fused = f", fused by {answer.fused}" if answer.fused else ""
    system = ShownSystem(
        f"{', '.join(answer.systems)}{fused}",
        {plan.topic: answer.shown},
        scores,
        parts={shot: answer.chains[at] for at, shot in enumerate(shots)} if answer.chains else {},
    )
    topic = "" if plan.query.topic is None else f"Topic {plan.query.topic}{f': {named}' if named != words else ''} · "
    counted = f"{len(shots):,} shots" if len(shots) == len(answer.shown) else (
        f"first {len(shots):,} of {len(answer.shown):,} shots"
    )  # fmt: skip
    return StaticPage(
        words or plan.topic,
        [Topic(plan.topic, words or plan.topic)],
        [system],
        asked.top,
        picture=pictures.get,
        times_s=times_s,
        facts=[
            f"{topic}{counted} · {len(columns):,} in the collection · {stamp_of(plan, collection)}",
            *answer.warnings,
        ],
        judged={plan.topic: judged[plan.topic]} if plan.topic in judged else {},
        made=f"Made by avs serve --export-page. List {answer.id}, of artefacts {collection.fingerprint[:16]}.",
    )

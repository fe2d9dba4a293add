"""What the API takes and gives: one pydantic model for every JSON object.

`docs/serve_api.json` is written from these models (avs.serve.api). What a client sends is read strictly: unknown keys,
numbers that are not finite, and texts where numbers should be are errors.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_PARTS, MOST_MINUS, MOST_SYSTEMS, MOST_VIDEOS, MOST_SHOTS = 4, 4, 64, 1000, 10_000
MOST_SUBMITTED = 1000
WORDS_CHARACTERS, MOST_KINDS = 500, 64
TEXT_CHARACTERS, MOST_RESULTS, PAGE, LONGEST_PAGE = 2000, 10_000, 100, 500

Many = list  # shapes have a field called "list"
Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
ShotName = Annotated[str, Field(min_length=1, max_length=300, description="a shot id")]
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="a topic id")]
Mark = Literal["yes", "no", "unsure"]
Method = Literal["rocchio", "linear", "bayes"]
Hidden = Literal["sent", "judged", "seen"]
Stamp = Literal["automatic", "manual", "feedback", "unknown", "automatic-invalid"]
DresState = Literal["off", "down", "logged-out", "no-evaluation", "no-task", "running", "ended"]
SubmissionState = Literal[
    "queued", "in-flight", "sent", "accepted", "wrong", "undecided", "rejected", "unknown", "failed"
]  # fmt: skip


class Sent(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Given(BaseModel):
    """What the server gives."""

    model_config = ConfigDict(extra="forbid")


class Minus(Sent):
    """What the shots should not look like."""

    text: Text | None = None
    shot: ShotName | None = None
    weight: float = Field(default=-0.5, ge=-2.0, lt=0.0, description="of its score, which is added to that of the part")

    @model_validator(mode="after")
    def _one_kind(self) -> Minus:
        if (self.text is None) == (self.shot is None):
            raise ValueError("give one of text, shot")
        return self


class QueryPart(Sent):
    """One thing to look for: a sentence, a shot of the collection, or a picture that was uploaded."""

    text: Text | None = None
    shot: ShotName | None = None
    image: Name | None = Field(default=None, description="id of an upload")
    minus: Many[Minus] = Field(default=[], max_length=MOST_MINUS)

    @model_validator(mode="after")
    def _one_kind(self) -> QueryPart:
        named = 3 - [self.text, self.shot, self.image].count(None)
        if not named and self.minus:
            raise ValueError("only what it should not look like: say what to look for too (text, shot or image)")
        if named != 1:
            raise ValueError("give one of text, shot, image")
        if self.text is not None and not self.text.strip():
            raise ValueError("the text is empty")
        return self


class Filter(Sent):
    """Which shots may be in the list."""

    videos: Many[Name] = Field(default=[], max_length=MOST_VIDEOS, description="only these; empty: all")
    not_videos: Many[Name] = Field(default=[], max_length=MOST_VIDEOS)
    hide: Many[Hidden] = Field(default=[], max_length=3, description="of this topic")
    words: Annotated[str, Field(max_length=WORDS_CHARACTERS)] = Field(
        default="",
        description='words and "quoted phrases", each in some text of the shot (--text-table); empty: not asked',
    )
    kinds: Many[Name] = Field(
        default=[],
        max_length=MOST_KINDS,
        description="kinds of texts that words are looked for in; without words: shots that have one; empty: all kinds",
    )

    @property
    def chooses(self) -> bool:
        """Whether only some shots of the collection can be in the list."""
        return bool(self.videos or self.not_videos or self.words or self.kinds)


class Query(Sent):
    """A question. It is the same in the API, in the URL of the page, in the journal and in an export."""

    parts: Many[QueryPart] = Field(
        default=[], max_length=MOST_PARTS, description="2 to 4: in this order in time; none: of ranked lists alone"
    )
    topic: TopicName | None = Field(
        default=None, description="whose judgments and marks are shown, and whose ranked lists"
    )
    by: Many[Name] = Field(default=[], max_length=MOST_SYSTEMS, description="names of systems; empty: every store")
    fuse: Name = Field(default="average", description="average, rrf, weighted, or the name of a fuser")
    weights: dict[Name, Annotated[float, Field(ge=0.0, le=1000.0)]] = Field(
        default={}, max_length=MOST_SYSTEMS, description="of weighted: system -> weight, of every system"
    )
    within_s: float = Field(
        default=30.0, ge=0.0, le=86_400.0, description="from the end of a part's shot to the next's start"
    )
    filter: Filter = Filter()
    group: Literal["shot", "video", "first-of-video"] = "shot"
    duplicates: float | None = Field(
        default=None, ge=0.5, le=1.0, description="least cosine of near duplicates; null: apart"
    )
    feedback: Name | None = Field(default=None, description="id that POST /feedback gave")
    k: int = Field(default=1000, ge=1, le=MOST_RESULTS)


class AvsErrorShape(Given):
    """An error, as avs prints it."""

    what: str
    where: str | None = None
    got: str | None = None
    wanted: str | None = None
    next_step: str | None = None


class ErrorAnswer(Given):
    """The body of every answer that is not a success."""

    error: AvsErrorShape


class Loading(Given):
    """What is being opened."""

    what: str
    done: int
    of: int


class StoreProblems(Given):
    """Shots that a store has only in part, or not at all."""

    partial: int
    failed: int


class SystemFacts(Given):
    """What can rank shots."""

    name: str
    kind: Literal["store", "model", "fuser", "list"]
    exact: bool = Field(description="no approximate index is used")
    whole: bool = Field(description="it scores the whole collection; a model that does not rescores the first shots")
    spec: str = Field(description="its encoder, architecture, method or file")
    texts: bool = Field(description="a sentence can be searched with it")
    images: bool = Field(description="an uploaded picture can be searched with it")
    problems: StoreProblems
    lists: Many[str] = Field(default=[], description="of a fuser: the systems that it needs")
    learned_from: Many[str] = Field(default=[], description="of a fuser: topics that it has learned from")


class MediaFacts(Given):
    """What there is to see, and the option that would bring what is absent."""

    keyframes: bool
    videos: bool
    times: bool = Field(description="there is a shot table, with times")
    missing: dict[str, str] = Field(description="what is absent -> the option that would bring it")


class Status(Given):
    """GET /status"""

    ready: bool
    loading: Loading | None = None
    version: str
    shots: int
    videos: int
    systems: Many[SystemFacts]
    media: MediaFacts
    topics: int
    qrels: bool
    texts: dict[str, int] = Field(default={}, description="of --text-table: kind -> number of texts")
    read_only: bool
    dres: str | None = Field(default=None, description="host of the evaluation server; null: none")
    keys: dict[str, str] = Field(description="action -> key, of those that the config rebinds")
    limits: dict[str, float]
    fingerprint: str = Field(description="of everything that decides lists")


class Scored(Given):
    """How many shots a system scored."""

    name: str
    scored: int
    of: int


class Taken(Given):
    """How many shots of the collection a filter takes away."""

    filter: str
    shots: int


class Result(Given):
    """A shot of a list."""

    shot: str
    video: str
    rank: int = Field(description="from 1, in the list as it was ranked, before it was grouped")
    score: float
    parts: Many[str] = Field(description="the shot of each part of a question in time; the first is `shot`")
    group: int = Field(description="number of its group in the list, from 0; by video: of its video")
    fold: int = Field(description="number of the shots that are folded behind one, for GET /lists/<id>?fold=")
    folded: int = Field(description="how many more shots of its fold are behind this one")
    start_s: float | None = None
    end_s: float | None = None
    start_in_file_s: float | None = Field(default=None, description="on the clock of the file; null: not known yet")
    judgment: int | None = Field(
        default=None, description="1, 0, -1: pooled, not judged; null: outside the pool, or no qrels"
    )
    mine: Mark | None = None
    sent: bool = False
    basket: bool = False


class Measured(Given):
    """A measure of a list, as `avs eval` computes and prints it."""

    value: float
    text: str


class Measures(Given):
    """Measures of the list as it was ranked, and of what is shown of it when something is filtered or folded."""

    topic: str
    all: dict[str, Measured]
    shown: dict[str, Measured] | None = None
    judged: dict[str, int] = Field(description="relevant, not, unjudged, outside: shots of the list")
    strata: Many[dict[str, int]] = Field(description="stratum, pooled, judged, relevant: of the shots of the list")
    curve: Many[float] = Field(description="estimated relevant shots among the first 1, 2, 5, 10, 20, 50, 100 ...")
    curve_ranks: Many[int]


class Answer(Given):
    """A line of POST /search. A session has one question at a time: a newer one ends the older with "cancelled"."""

    seq: int = Field(description="counts the questions of a session")
    stage: Literal["first", "final", "cancelled", "error"]
    list: str = Field(default="", description="id of the list, for GET /lists/<id>")
    exact: bool = True
    systems: Many[Scored] = []
    fused: str = Field(default="", description="how the systems were fused; empty: there was one")
    ms: dict[str, float] = Field(default={}, description="encode, scan, fuse, group")
    total: int = Field(default=0, description="shots in the list")
    rows: int = Field(default=0, description="results of the list when groups are folded")
    of: int = Field(default=0, description="shots that could be searched")
    warnings: Many[str] = []
    taken: Many[Taken] = []
    stamp: Stamp = Field(
        default="manual",
        description="automatic: by the sentence of the topic, without help of the user; of a list in a file: what it "
        "declares; unknown: it declares nothing",
    )
    measures: Measures | None = None
    results: Many[Result] = []
    error: AvsErrorShape | None = None


class ListPage(Given):
    """GET /lists/<id>?from=&count=&group=&fold=: results of a list, counted as they are shown."""

    list: str
    total: int
    rows: int
    start: int
    results: Many[Result]
    measures: Measures | None = None


class ListIds(Given):
    """GET /lists/<id>/ids: the whole list as it was ranked."""

    list: str
    shots: Many[str]
    scores: Many[float]


class ExplainRequest(Sent):
    """POST /explain"""

    list: Name
    shot: ShotName


class Share(Given):
    """What a system says of a shot."""

    name: str
    rank: int | None = Field(description="in its own list; null: not there")
    score: float | None
    share: float | None = Field(description="of the fused score, 0 to 1; null: the fuser does not tell")


class Neighbour(Given):
    """A near neighbour in the list."""

    shot: str
    rank: int
    cosine: float


class ProblemOfShot(Given):
    """What is wrong with a shot in a store."""

    store: str
    status: Literal["partial", "failed"]
    reason: str


class Reasons(Given):
    """Why a shot is where it is."""

    shot: str
    rank: int | None
    score: float | None
    systems: Many[Share]
    neighbours: Many[Neighbour]
    problems: Many[ProblemOfShot]


class TopicFacts(Given):
    """A topic."""

    id: str
    text: str
    narrative: str | None = None
    edition: str | None = None
    judged: bool = False
    relevant: int | None = Field(default=None, description="shots judged relevant")
    pooled: int | None = None
    lists: Many[str] = Field(default=[], description="names of ranked lists of it")
    marks: dict[str, int] = {}


class Topics(Given):
    """GET /topics"""

    topics: Many[TopicFacts]


class StudyRow(Given):
    """A topic in the table of the study: a value for every list, null where it has no shots."""

    topic: str
    text: str
    values: Many[Measured | None]


class FoundInList(Given):
    """What `avs check-run` finds in a list."""

    list: str
    line: int
    what: str


class Study(Given):
    """GET /study: topics x lists, the worst topic first."""

    measure: str
    lists: Many[str]
    means: Many[Measured]
    topics: Many[StudyRow]
    findings: Many[FoundInList] = Field(description="of `avs check-run`, and of lists that cannot be read")
    unique: dict[str, int] = Field(description="list -> relevant shots that no other list has")
    overlap: Many[Many[float]] = Field(description="share of shots of a row's list that the column's list has too")


class ShotInBoth(Given):
    """A shot in two lists; null: not in that list."""

    shot: str
    a: int | None
    b: int | None
    judgment: int | None


class SideBySide(Given):
    """GET /compare?a=&b=&topic=: names of lists, or ids that a search gave."""

    topic: str | None
    a: str
    b: str
    measures_a: Measures | None
    measures_b: Measures | None
    gained: Many[str] = Field(description="relevant shots that only b has")
    lost: Many[str] = Field(description="relevant shots that only a has")
    only_a: int
    only_b: int
    moves: Many[ShotInBoth] = Field(description="of the first 100 of each")


class ShotText(Given):
    """A text of a shot: what was read in its pictures, or heard."""

    kind: str
    text: str


class ShotFacts(Given):
    """GET /shots/<id>"""

    shot: str
    video: str
    number: int
    start_s: float | None
    end_s: float | None
    start_in_file_s: float | None
    end_in_file_s: float | None
    fps: float | None
    duration_s: float | None
    media: str | None = Field(description="address of the video; null: there is none")
    before: Many[str]
    after: Many[str]
    problems: Many[ProblemOfShot]
    texts: Many[ShotText] = Field(default=[], description="of --text-table, in its order")


class VideoShot(Given):
    """A shot of a video."""

    shot: str
    start_s: float | None
    end_s: float | None
    start_in_file_s: float | None


class VideoFacts(Given):
    """GET /videos/<id>"""

    video: str
    shots: Many[VideoShot]
    fps: float | None
    duration_s: float | None
    type: str | None = Field(description="media type of the file")
    codec: str | None
    media: str | None
    problem: str | None = Field(description="why it cannot be played")


class MarkRequest(Sent):
    """POST /marks"""

    topic: TopicName
    shots: Many[ShotName] = Field(min_length=1, max_length=MOST_SHOTS)
    mark: Mark | None = Field(description="null takes the mark away")
    event: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        default=None, description="id of the event, so that a request may be sent again; null: the server makes one"
    )
    at_ms: int | None = Field(
        default=None, ge=0, description="when it was made, of the client; marks merge in this order"
    )
    list: Name | None = Field(default=None, description="list that is shown: its measures come back")


class UndoRequest(Sent):
    """DELETE /marks"""

    event: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    list: Name | None = None


class Agreement(Given):
    """Marks against judgments: shots that both have."""

    both: int
    agree: int
    kappa: float | None = Field(description="Cohen's; null: all are of one kind")


class MarksAnswer(Given):
    """The marks of a topic after a change."""

    event: str
    topic: str
    counts: dict[str, int]
    changed: dict[str, Mark | None]
    agreement: Agreement | None = None
    measures: Measures | None = None


class Marks(Given):
    """GET /marks?topic="""

    topic: str
    marks: dict[str, Mark]
    counts: dict[str, int]
    agreement: Agreement | None = None
    last: str | None = Field(default=None, description="event that an undo would take back")


class FeedbackRequest(Sent):
    """POST /feedback: the marks of a topic now, under a name that questions can use."""

    topic: TopicName
    method: Method = "rocchio"
    simulate: bool = Field(
        default=False, description="a perfect user: judgments of the first shots of `list` are the marks"
    )
    list: Name | None = None
    shown: int = Field(default=20, ge=1, le=1000, description="of a simulation: how many shots the user looks at")


class FeedbackAnswer(Given):
    """A set of marks; give its id as `feedback` of a question. Without it the question is as before."""

    feedback: str
    method: Method
    topic: str
    yes: Many[str]
    no: Many[str]
    simulated: bool


class Upload(Given):
    """POST /uploads: a picture (JPEG, PNG, WebP, GIF or BMP), for `image` of a part. It is kept in memory alone."""

    image: str
    width: int
    height: int
    systems: Many[str] = Field(description="that can search with it")


class BasketRequest(Sent):
    """POST /basket"""

    topic: TopicName
    add: Many[ShotName] = Field(default=[], max_length=MOST_SHOTS)
    remove: Many[ShotName] = Field(default=[], max_length=MOST_SHOTS)


class Basket(Given):
    """GET /basket?topic="""

    topic: str
    shots: Many[str]


class ViewsRequest(Sent):
    """POST /views: shots that were on the screen, for `hide: ["seen"]`."""

    topic: TopicName
    shots: Many[ShotName] = Field(min_length=1, max_length=MOST_SHOTS)


class Seen(Given):
    """How many shots of a topic were seen."""

    topic: str
    seen: int


class FuserRequest(Sent):
    """POST /fusers: keep the weights of `fuse: weighted` as a fuser, as `avs fuse` keeps one that it fitted."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    topic: TopicName = Field(description="that was looked at: `avs fuse` refuses to fuse it with this fuser")
    systems: Many[Name] = Field(min_length=1, max_length=MOST_SYSTEMS, description="that it fuses, each once")
    weights: dict[Name, Annotated[float, Field(ge=0.0, le=1000.0)]] = Field(
        max_length=MOST_SYSTEMS, description="system -> weight, of every system; one is above 0"
    )


class FuserSaved(Given):
    """A fuser that was written, and can be asked for by its name from now on."""

    name: str
    folder: str
    systems: Many[str]
    fitted_on: Many[str] = Field(description="topics that it has learned from: their lists become automatic-invalid")
    fingerprint: str = Field(description="of its manifest")
    next_step: str = Field(description="what opens it again, and what fuses lists in files with it")


class ExportRequest(Sent):
    """POST /export: lists as a TREC file, or as a run file through make-run and check-run; or marks as qrels."""

    format: Literal["trec", "xml", "qrels"] = "trec"
    lists: Many[Name] = Field(default=[], max_length=1000, description="ids of lists, one per topic")
    topics: Many[TopicName] = Field(default=[], max_length=1000, description="of qrels: whose marks; empty: all")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] = "served"
    edition: Name | None = Field(
        default=None, description="of a run file, such as tv24; null: that of the topics, or custom"
    )
    attributes: dict[Name, Annotated[str, Field(max_length=TEXT_CHARACTERS)]] = Field(
        default={}, description="of a run file, as the DTD names them: pid, priority, trType, task, novelty, desc ..."
    )
    elapsed_s: float | None = Field(default=None, ge=0.0, le=1e6, description="seconds per topic; null: as measured")


class Exported(Given):
    """A file that was written."""

    file: str
    kind: Literal["trec", "xml", "qrels"]
    class_: str | None = Field(
        default=None, description="F, M or R: how the lists were made", serialization_alias="class"
    )
    shots: int
    topics: int
    content: str
    warnings: Many[str]


class DresTask(Given):
    """The task that the evaluation server runs."""

    id: str | None = Field(description="its taskId; null: the server gives none, and knows the task by itself")
    name: str
    kind: str = Field(description="such as Ad-hoc Video Search; the server's word")
    left_s: float | None = Field(description="as the server said last; null: it does not count down")


class DresEvaluation(Given):
    """An evaluation of the evaluation server."""

    id: str
    name: str


class SubmissionFacts(Given):
    """An answer to a task, from the queue to the verdict.

    queued: not sent yet; in-flight: being sent; sent: the server has it, and has not judged it; accepted, wrong,
    undecided: its verdict; rejected: the server does not take it (400, 404, 412), it is never sent again; unknown: it
    may have arrived or not, POST /submit/ask decides; failed: it did not arrive, and is not tried any more.
    """

    id: str
    topic: str | None = Field(description="that the page had open")
    task: str = Field(description="id of the task, or its name where the server gives no id")
    shot: str | None = Field(description="null: a text")
    video: str | None
    item: str | None = Field(description="name of the video in the evaluation server")
    start_ms: int | None = Field(description="from the first frame of the video")
    end_ms: int | None
    text: str | None = Field(default=None, description="of a textual answer")
    state: SubmissionState
    message: str = Field(default="", description="what the server said, or why it failed")
    sent_before: bool = Field(description="another shot of this video was submitted to this task before")
    dry_run: bool = Field(description="nothing of it leaves this machine")
    at: str = Field(description="when it was submitted, UTC, ISO 8601")


class Submissions(Given):
    """GET /submit: the evaluation server as it was last seen, and what was submitted."""

    live: bool = Field(description="false: a dry run, nothing is sent")
    server: str | None = Field(description="its host; null: none")
    evaluation: str | None = Field(description="id of the evaluation that is used")
    state: DresState = Field(description="off: without --dres; ended: the task is over")
    message: str = Field(default="", description="what is wrong, and what to do")
    task: DresTask | None
    timer_left_s: float | None = Field(description="of the task, otherwise of --timer; null: no timer runs")
    timer_of: Literal["task", "page"] | None = Field(description="whose timer it is")
    evaluations: Many[DresEvaluation]
    entries: Many[SubmissionFacts] = Field(description="the oldest first")


class SubmitRequest(Sent):
    """POST /submit: shots; or one position in the video of a shot; or a text."""

    topic: TopicName | None = None
    shots: Many[ShotName] = Field(default=[], max_length=MOST_SUBMITTED)
    shot: ShotName | None = Field(default=None, description="whose video `at_s` is in")
    at_s: float | None = Field(default=None, ge=0.0, le=1e6, description="position of the player, on the file's clock")
    text: Text | None = None
    list: Name | None = Field(default=None, description="that the shots were found in, for the journal")

    @model_validator(mode="after")
    def _one_kind(self) -> SubmitRequest:
        if [bool(self.shots), self.shot is not None, self.text is not None].count(True) != 1:
            raise ValueError("give one of shots, shot with at_s, text")
        if (self.shot is None) != (self.at_s is None):
            raise ValueError("shot and at_s come together")
        if self.text is not None and not self.text.strip():
            raise ValueError("the text is empty")
        return self


class Submitted(Given):
    """What was put into the queue. What was there before is given as it is, with a warning."""

    live: bool
    entries: Many[SubmissionFacts]
    warnings: Many[str]


class EvaluationRequest(Sent):
    """POST /submit/evaluation"""

    id: Name


class AskRequest(Sent):
    """POST /submit/ask: what becomes of a submission that is unknown, failed or rejected."""

    id: Name
    do: Literal["send again", "forget"]


class TimerRequest(Sent):
    """POST /timer: the page's own timer, for tasks that the evaluation server does not time."""

    do: Literal["start", "stop"]
    seconds: float | None = Field(default=None, gt=0.0, le=86_400.0, description="null: those of --timer")


class SessionFacts(Given):
    """A session of this folder: the journal of a start of the server."""

    id: str
    started_ms: int | None = Field(description="by the name of its file; null: it says nothing")
    ended_ms: int | None = Field(description="when its last event was; null: no event tells")
    queries: int
    marks: int = Field(description="events of marks, undone ones too")
    submissions: int
    damaged: int = Field(description="lines that cannot be read")
    bytes: int
    now: bool = Field(description="this server writes it")


class Sessions(Given):
    """GET /sessions: the newest first."""

    kept: bool = Field(description="false: a read-only server keeps no sessions and shows none")
    sessions: Many[SessionFacts]


class AskedQuery(Given):
    """A question of a session, with what came of it."""

    number: int = Field(description="from 1, in the order in which they were answered")
    at_ms: int = Field(description="when it was answered")
    text: str = Field(description="its parts in words, as they are typed; empty: of ranked lists alone")
    query: Query = Field(description="as it was asked: the address of the page with it asks it again")
    topic: str | None
    systems: Many[str]
    fused: str = Field(description="how the systems were fused; empty: there was one")
    stamp: Stamp
    ms: float = Field(description="that the server took for the list")
    total: int = Field(description="shots in the list")
    first: Many[str] = Field(description="its first shots, at most 8")
    list: str = Field(description="id that the list had")
    same: bool = Field(description="it was asked of the very artefacts that are opened now")


class SessionLog(Given):
    """GET /sessions/<id>?from=&count=: questions of a session, the first asked first."""

    session: SessionFacts
    start: int
    queries: Many[AskedQuery]


class TokenRequest(Sent):
    """POST /token: the token of the address becomes a cookie, so that it stays out of logs."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class Done(Given):
    """It was done."""

    ok: bool = True


class Event(Given):
    """An event of GET /events, whose data is this."""

    kind: Literal["loading", "ready", "marks", "basket", "submission", "task", "timer"]
    loading: Loading | None = None
    topic: str | None = None
    event: str | None = None
    error: AvsErrorShape | None = None
    data: dict[str, str | int | float | bool | None] | None = None

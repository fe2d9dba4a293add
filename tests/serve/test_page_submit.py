"""Showdown on the page: what is submitted, what is told of it, and how much time is left."""

from __future__ import annotations

import io
import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pages import Watched, address, altered, expect, sent, until
from PIL import Image

from avs.serve.shapes import Event, SubmissionFacts, Submissions, Submitted

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from avs.serve.server import PageServer

TASK = {"id": "t1", "name": "a01", "kind": "Ad-hoc Video Search", "left_s": 125.0}
SIGNS = {
    "queued": "…", "in-flight": "…", "sent": "↑", "accepted": "✓", "wrong": "✕", "undecided": "~", "rejected": "!",
    "failed": "!!", "unknown": "??",
}  # fmt: skip


class Told:
    """What a server with an evaluation behind it tells its pages. Its answers are of the published shapes."""

    def __init__(self, server: PageServer, **facts: Any) -> None:
        self.server = server
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.warnings: list[str] = []
        self.facts: dict[str, Any] = {
            "live": False, "server": "dres.example", "evaluation": "e1", "state": "running", "task": TASK,
            "timer_left_s": 125.0, "timer_of": "task", "evaluations": [{"id": "e1", "name": "Rehearsal"}],
            "entries": [], **facts,
        }  # fmt: skip
        self._numbers = itertools.count(1)

    def entry(self, shot: str | None, state: str = "queued", **more: Any) -> dict[str, Any]:
        """Put a submission into the queue."""
        video = shot[4:9] if shot else None
        made = {
            "id": f"s{next(self._numbers)}", "topic": None, "task": "t1", "shot": shot, "video": video, "item": video,
            "start_ms": 0 if shot else None, "end_ms": 240 if shot else None, "state": state, "sent_before": False,
            "dry_run": not self.facts["live"], "at": "2026-11-22T10:00:00Z", **more,
        }  # fmt: skip
        self.facts["entries"].append(SubmissionFacts.model_validate(made).model_dump())
        return self.facts["entries"][-1]

    def change(self, **facts: Any) -> None:
        """Something has happened, and all pages are told to look."""
        self.facts.update(facts)
        self.server.state.events.say(Event(kind="submission"))

    def open(self, watched: Watched, *, question: dict[str, Any] | None = None, **context: Any) -> Page:
        """A page of a list, with the evaluation behind it."""
        page = watched.page("about:blank", **context)
        altered(page, "**/api/v1/status", dres="dres.example")
        page.route("**/api/v1/submit**", self._answer)
        page.route("**/api/v1/submit/*", self._answer)
        page.route("**/api/v1/timer", self._answer)
        page.goto(address(watched.root, **(question or {})))
        expect(page.locator(".tile").first).to_be_focused()
        expect(page.get_by_role("region", name="Showdown")).to_be_visible()
        return page

    def _answer(self, route: Route) -> None:
        if route.request.method == "POST":
            body = route.request.post_data_json
            self.asked.append((route.request.url.split("/api/v1/")[1], body))
            if route.request.url.endswith("/submit"):
                shots = body.get("shots") or [body.get("shot")]
                made = [self.entry(shot, text=body.get("text")) for shot in shots]
                answer = Submitted(live=self.facts["live"], entries=made, warnings=self.warnings)
                route.fulfill(status=202, json=answer.model_dump())
                return
            if route.request.url.endswith("/ask"):
                (of,) = [one for one in self.facts["entries"] if one["id"] == body["id"]]
                of["state"] = "queued" if body["do"] == "send again" else "failed"
                if body["do"] == "forget":
                    self.facts["entries"].remove(of)
        route.fulfill(json=Submissions.model_validate(self.facts).model_dump())


@pytest.fixture
def told(page_server: PageServer) -> Told:
    return Told(page_server)


def test_a_shot_is_submitted_by_key_and_by_click(watched: Watched, told: Told) -> None:
    page = told.open(watched, question={"topic": "661"})
    bar = page.get_by_role("region", name="Showdown")
    expect(bar).to_contain_text("Dry run")
    expect(bar).not_to_have_class(re.compile("live"))
    shots = [page.locator(".tile").nth(place).get_attribute("data-shot") for place in (0, 3)]
    page.keyboard.press("s")
    expect(page.locator(".tile").first).to_have_class(re.compile("is-queued"))
    expect(page.locator(".toast")).to_contain_text("1 answer in the dry run: nothing is sent")
    page.locator(".tile").nth(3).click(modifiers=["Alt"])
    expect(page.locator(".tile").nth(3).locator(".out")).to_have_text("…")
    assert [(path, body["shots"], body["topic"]) for path, body in told.asked] == [
        ("submit", [shots[0]], "661"), ("submit", [shots[1]], "661")
    ]  # fmt: skip
    assert all(body["list"] for _, body in told.asked)
    expect(bar.get_by_role("button", name="2 queued")).to_be_visible()


def test_the_basket_is_submitted_after_one_question(watched: Watched, told: Told) -> None:
    told.change(live=True)
    page = told.open(watched)
    expect(page.get_by_role("region", name="Showdown")).to_have_class(re.compile("live"))
    expect(page.get_by_role("region", name="Showdown")).to_contain_text("Live: submissions count")
    page.keyboard.press("S")
    expect(page.locator(".toast")).to_have_text("the basket is empty")
    shots = [page.locator(".tile").nth(place).get_attribute("data-shot") for place in (0, 1)]
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("x")
    expect(page.get_by_role("link", name="Basket 2")).to_be_visible()
    page.keyboard.press("S")
    dialog = page.get_by_role("dialog", name="Submit 2 shots of the basket?")
    expect(dialog).to_contain_text("It counts.")
    assert dialog.locator(".small .cap").all_text_contents() == shots
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert told.asked == []
    page.keyboard.press("S")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="2 queued")).to_be_visible()
    assert [(path, body["shots"]) for path, body in told.asked] == [("submit", shots)]
    expect(page.get_by_role("link", name="Basket", exact=True)).to_be_visible()  # they are not submitted again


def test_the_player_submits_its_position(watched: Watched, told: Told) -> None:
    page = told.open(watched)
    shot = page.locator(".tile").first.get_attribute("data-shot")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("dialog.large .strip")).to_be_visible()  # frames have no position: the shot is submitted
    page.keyboard.press("s")
    expect(page.get_by_role("button", name="1 queued")).to_be_attached()
    assert told.asked[0][1]["shots"] == [shot]
    watched.forget()  # that the film cannot be played is told by Chromium


def test_every_state_of_a_submission_is_told_by_a_sign_and_in_words(watched: Watched, told: Told) -> None:
    page = told.open(watched)
    tiles = page.locator(".tile")
    for place, state in enumerate(SIGNS):
        told.entry(tiles.nth(place).get_attribute("data-shot"), state)
    shots = tiles.evaluate_all("all => all.map(one => one.dataset.shot)")
    near = next(shot for shot in shots[len(SIGNS) :] if shot[:9] == shots[0][:9])
    told.entry(near, "sent", task="another")
    told.change()
    for place, (state, sign) in enumerate(SIGNS.items()):
        expect(tiles.nth(place).locator(".out")).to_have_text(sign)
        label = tiles.nth(place).get_attribute("aria-label") or ""
        assert len(label.split(", ")) == 3, f"{state}: {label}"
    beside = page.locator(f'.tile[data-shot="{near}"]')
    expect(beside.locator(".out")).to_have_text("(↑)")
    expect(beside).to_have_attribute("aria-label", re.compile("another shot of its video was sent"))


def test_a_verdict_is_said_and_listed(watched: Watched, told: Told) -> None:
    page = told.open(watched)
    entry = told.entry("shot00001_3", "sent", sent_before=True)
    told.change()
    expect(page.get_by_role("button", name="1 sent")).to_be_visible()
    entry |= {"state": "accepted", "message": "<img src=x onerror=alert(1)>"}
    told.change()
    expect(page.locator(".toast")).to_contain_text("shot00001_3, accepted, <img src=x")
    page.get_by_role("button", name="1 accepted").click()
    row = page.get_by_role("dialog", name="Submitted").get_by_role("row").nth(1)
    expect(row).to_contain_text("0 – 240 ms")
    expect(row).to_contain_text("its video was sent before · <img src=x")
    page.get_by_label("Answer in words").fill("a red umbrella")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("row")).to_have_count(3)
    assert told.asked[0][1]["text"] == "a red umbrella"
    assert page.locator("img[src=x]").count() == 0


def test_a_verdict_at_once_is_said_beside_the_warning(watched: Watched, told: Told) -> None:
    old = told.entry("shot00001_9", "wrong")
    page = told.open(watched)
    told.warnings = ["a shot of this video was submitted before"]
    made, entry = told.entry, None

    def judged(shot: str | None, **more: Any) -> dict[str, Any]:
        nonlocal entry
        entry = made(shot, **{**more, "state": "accepted", "message": "correct"})
        return entry

    told.entry = judged  # type: ignore[method-assign]
    page.keyboard.press("s")
    lines = page.locator(".toast p")
    expect(lines).to_have_count(2)
    assert entry is not None
    texts = lines.all_text_contents()
    assert any(told.warnings[0] in text for text in texts)
    assert any(f"{entry['shot']}, accepted, correct" in text for text in texts)
    assert not any(old["shot"] in text for text in texts)  # it was there before the page


def test_what_is_kept_from_the_task_before_is_asked_about(watched: Watched, told: Told) -> None:
    page = told.open(watched)
    page.keyboard.press("y")
    page.keyboard.press("x")
    expect(page.get_by_role("link", name="Basket 1")).to_be_visible()
    expect(page.get_by_role("button", name="nothing submitted")).to_be_visible()
    told.change(task={**TASK, "id": "t2", "name": "a02"})
    expect(page.get_by_role("alert")).to_contain_text(
        "The task is a02 now: 1 mark and 1 shot in the basket are from before."
    )
    page.get_by_role("button", name="Take them out").click()
    expect(page.get_by_role("link", name="Basket", exact=True)).to_be_visible()
    expect(page.locator(".tile.yes")).to_have_count(0)
    sent(page)


def test_a_basket_alone_is_taken_out_without_a_mark(watched: Watched, told: Told) -> None:
    page = told.open(watched)
    page.keyboard.press("x")
    expect(page.get_by_role("link", name="Basket 1")).to_be_visible()
    marked: list[str] = []
    page.on("request", lambda request: marked.append(request.url) if request.method == "POST" else None)
    expect(page.get_by_role("button", name="nothing submitted")).to_be_visible()
    told.change(task={**TASK, "id": "t2", "name": "a02"})
    page.get_by_role("button", name="Take them out").click()
    expect(page.get_by_role("link", name="Basket", exact=True)).to_be_visible()
    sent(page)
    assert not [url for url in marked if url.endswith("/marks")]


def test_what_may_have_arrived_is_asked_about(watched: Watched, told: Told) -> None:
    told.entry("shot00001_3", "unknown")
    told.entry("shot00001_4", "failed", message="no route to host")
    for state in SIGNS:
        told.entry("shot00001_5", state, task="t1" if state not in ("unknown", "failed") else "x")
    told.facts["entries"] = [one for one in told.facts["entries"] if one["task"] == "t1"]
    page = told.open(watched, viewport={"width": 512, "height": 384})  # 200 % zoom of a small screen
    assert page.locator("body, .showdown").evaluate_all("all => all.filter(one => one.scrollWidth > innerWidth)") == []
    asks = page.get_by_role("region", name="Showdown").get_by_role("alert").get_by_role("paragraph")
    expect(asks.nth(0)).to_contain_text("not known whether shot00001_3 has arrived")
    expect(asks.nth(1)).to_contain_text("shot00001_4 could not be sent. no route to host")
    asks.nth(0).get_by_role("button", name="Send again").click()
    expect(asks).to_have_count(1)
    asks.get_by_role("button", name="Forget it").click()
    expect(asks).to_have_count(0)
    assert [path for path, _ in told.asked] == ["submit/ask", "submit/ask"]
    assert [body for _, body in told.asked] == [{"id": "s1", "do": "send again"}, {"id": "s2", "do": "forget"}]


def test_the_state_of_the_evaluation_is_told(watched: Watched, told: Told) -> None:
    page = told.open(watched)
    bar = page.get_by_role("region", name="Showdown")
    for state, words in (
        ("down", "cannot be reached"), ("logged-out", "logged out"), ("no-evaluation", "no evaluation"),
        ("no-task", "no task"), ("ended", "task has ended"), ("running", "task runs"),
    ):  # fmt: skip
        told.change(state=state, task=TASK if state in ("running", "ended") else None, message=f"{state}: do this")
        expect(bar).to_contain_text(f"dres.example {words}")
        expect(bar).to_contain_text(f"{state}: do this")
        expect(bar.locator(".dot")).to_have_class(f"dot {state}")


def test_the_timer_runs_by_itself_and_is_started_where_the_task_has_none(watched: Watched, told: Told) -> None:
    told.change(timer_left_s=None, timer_of=None)
    page = told.open(watched)
    timer = page.get_by_role("timer", name="Time left")
    expect(timer).to_have_text("")
    page.get_by_role("button", name="Start the timer").click()
    expect(timer).to_have_text("")
    told.change(timer_left_s=125.0, timer_of="page")
    expect(timer).to_have_text(re.compile(r"2:0[0-5]"))
    shown = timer.text_content() or ""
    expect(timer).not_to_have_text(shown)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    told.change(timer_left_s=20.0, timer_of="task")
    expect(timer).to_have_class(re.compile("short"))
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    assert told.asked == [("timer", {"do": "start"})]


def test_one_of_several_evaluations_is_chosen(watched: Watched, told: Told) -> None:
    several = [{"id": "e1", "name": "Rehearsal"}, {"id": "e2", "name": "The evaluation"}]
    told.change(evaluations=several, evaluation=None, state="no-evaluation", task=None)
    page = told.open(watched)
    choice = page.get_by_label("Evaluation", exact=True)
    choice.evaluate("node => { node.kept = true }")
    told.change(timer_left_s=20.0)
    expect(page.get_by_role("timer", name="Time left")).to_have_class(re.compile("short"))
    assert choice.evaluate("node => node.kept")  # an open list does not close whenever something is told
    choice.select_option("The evaluation")
    expect(choice).to_be_visible()
    until(page, lambda: told.asked == [("submit/evaluation", {"id": "e2"})])


def test_what_was_sent_is_hidden_by_its_key(watched: Watched, told: Told) -> None:
    page = told.open(watched)
    page.keyboard.press("h")
    expect(page.get_by_role("button", name="sent", exact=True)).to_have_attribute("aria-pressed", "true")
    assert '"hide":["sent"]' in page.evaluate("() => new URLSearchParams(location.search).get('query')")
    plain = watched.page(address(watched.root))
    expect(plain.locator(".tile").first).to_be_focused()
    expect(plain.get_by_role("region", name="Showdown")).to_have_count(0)
    expect(plain.get_by_role("button", name="sent", exact=True)).to_have_count(0)
    plain.keyboard.press("s")
    expect(plain.locator(".toast")).to_contain_text("--dres")


def greys(page: Page) -> dict[str, np.ndarray]:
    """State -> (H, W) its picture in grey."""
    boxes = page.locator("#sheet .pic").evaluate_all(
        """all => all.map(one => [one.parentNode.dataset.shot, one.getBoundingClientRect()])
          .map(([shot, { x, y, width, height }]) => [shot, x, y, x + width, y + height])"""
    )
    sheet = Image.open(io.BytesIO(page.screenshot())).convert("L")
    return {
        shot.removeprefix("shot-"): np.asarray(sheet.crop([round(one) for one in box]), dtype=float)
        for shot, *box in boxes
    }


def test_signs_differ_at_fifty_pixels_and_in_grey(watched: Watched, told: Told, tmp_path: Path) -> None:
    page = told.open(watched, color_scheme="light")
    folder = Path(os.environ.get("AVS_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.evaluate(
        """async () => {
      const { SENT, MINE, makeTile } = await import('/static/tile.js');
      const { state } = await import('/static/state.js');
      const { el } = await import('/static/dom.js');
      const sheet = el('div', { id: 'sheet' });
      sheet.style.cssText = 'position: fixed; inset: 0; z-index: 99; background: #888; display: flex; gap: 6px';
      for (const kind of ['none', ...Object.keys(SENT), ...Object.keys(MINE)]) {
        const shot = `shot-${kind}`;
        if (kind in SENT) state.sent.set(shot, kind);
        if (kind in MINE) state.marks.set(shot, kind);
        const tile = makeTile({ shot, video: '', rank: null, parts: [] }, 0);
        for (const node of tile.querySelectorAll('img, .none')) node.replaceWith(el('span', { class: 'none' }));
        tile.style.width = '50px';
        sheet.append(tile);
      }
      document.body.append(sheet);
    }"""
    )
    page.locator("#sheet").screenshot(path=folder / "signs-50px.png")
    pictures = greys(page)
    page.locator("#sheet").evaluate("sheet => sheet.querySelectorAll('.mark, .out').forEach(one => one.remove())")
    borders = greys(page)
    for name in borders.keys() - {"none"}:
        assert (np.abs(borders[name] - borders["none"]) > 48).mean() > 0.02, f"{name} has no border"
    for (one, a), (other, b) in itertools.combinations(pictures.items(), 2):
        assert a.shape == b.shape and a.shape[1] == 50
        different = (np.abs(a - b) > 48).mean()
        assert different > 0.02, f"{one} and {other} look alike: {different:.3f} of their pixels differ"
    watched.forget()  # there are no pictures of these shots

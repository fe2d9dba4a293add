"""The player shows the shot and nothing else, also of files whose clock does not start at zero.

What Chromium cannot play is shown as frames.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pytest
from fake_dres import PASSWORD, USER, fake_dres
from live_server import SECONDS, TinyServed, running
from pages import Watched, expect, until

from avs.serve.dres import showdown

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RATE, FRAMES = 25, 150  # six seconds: 25 shots of six frames, each in a red of its own
STARTS_S = {"00001": 1, "00002": 1, "00003": 0}
PIXEL = """video => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [64, 48];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  return context.getImageData(32, 24, 1, 1).data[0];
}"""


def write(path: Path, codec: str, start_s: int, options: dict[str, str]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 2_000_000
        packets = []
        for number in range(FRAMES):
            picture = np.zeros((48, 64, 3), np.uint8)
            picture[..., 0] = red_of(number // 6 + 1)
            packets += stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        for packet in [*packets, *stream.encode()]:
            later = int(Fraction(start_s) / packet.time_base)
            packet.pts, packet.dts = packet.pts + later, packet.dts + later
            container.mux(packet)


def red_of(number: int) -> int:
    return 10 * (number - 1)


@pytest.fixture(scope="module")
def opened(browser: Browser, tiny: TinyServed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("played")
    (folder / "videos").mkdir()
    write(folder / "videos" / "00001.mp4", "libx264", 1, {})
    write(folder / "videos" / "00002.webm", "libvpx", 1, {"deadline": "realtime", "cpu-used": "8"})
    write(folder / "videos" / "00003.mp4", "mpeg4", 0, {})
    with pytest.MonkeyPatch.context() as patch, fake_dres() as held:
        patch.setattr(showdown, "POLL_S", 0.05)
        patch.setenv("AVS_DRES_PASSWORD", PASSWORD)
        evaluation = {"dres": held.root, "dres_user": USER, "live": True, "rate": 100}
        with running(tiny.options(folder, videos=folder / "videos", **evaluation)) as server:
            watched = Watched(browser, server.root)
            watched.held = held  # type: ignore[attr-defined]
            yield watched


@pytest.fixture
def watched(opened: Watched) -> Iterator[Watched]:
    yield opened
    opened.end()


def on_shot(watched: Watched, shot: str) -> Page:
    """A page whose focus is on a shot."""
    page = watched.page(f"{watched.root}?query={quote(json.dumps({'parts': [{'shot': shot}]}))}&at={shot}")
    expect(page.locator(".tile:focus")).to_have_attribute("data-shot", shot)
    return page


@pytest.mark.parametrize("shot", ["shot00001_7", "shot00002_12"])
def test_a_shot_plays_inside_its_times_and_in_its_colour(watched: Watched, shot: str) -> None:
    page = on_shot(watched, shot)
    page.keyboard.press(" ")
    video = page.locator(".tile video")
    expect(video).to_have_js_property("paused", False)
    expect(video).to_have_accessible_name(f"Video of {shot}")
    video_id, number = shot[4:].split("_")
    start_s = STARTS_S[video_id] + (int(number) - 1) * SECONDS
    page.evaluate("""() => {
      const video = document.querySelector('video');
      [window.times, window.turns] = [[], 0];
      video.addEventListener('seeked', () => { window.turns += 1; });
      const watch = () => {
        if (!video.seeking && video.readyState >= 2) window.times.push(video.currentTime);
        video.requestVideoFrameCallback(watch);
      };
      video.requestVideoFrameCallback(watch);
    }""")
    until(page, lambda: page.evaluate("() => window.turns") >= 3)
    times = page.evaluate("() => window.times")
    assert times
    assert all(start_s <= one < start_s + SECONDS + 2 / RATE for one in times), times
    page.keyboard.press(",")
    expect(video).to_have_js_property("seeking", False)
    assert start_s <= video.evaluate("video => video.currentTime") < start_s + SECONDS
    assert abs(video.evaluate(PIXEL) - red_of(int(number))) <= 4
    assert video.evaluate("video => video.muted")


def test_frames_on_and_back_stay_in_the_shot(watched: Watched) -> None:
    page = on_shot(watched, "shot00001_3")
    page.keyboard.press("Shift+Enter")
    video = page.locator("dialog.large video")
    expect(video).to_have_js_property("readyState", 4)
    start_s = 1 + 2 * SECONDS
    for _ in range(8):
        page.keyboard.press(".")
        expect(video).to_have_js_property("seeking", False)
    assert start_s + SECONDS - 1.5 / RATE <= video.evaluate("video => video.currentTime") < start_s + SECONDS
    for _ in range(8):
        page.keyboard.press(",")
        expect(video).to_have_js_property("seeking", False)
    assert start_s <= video.evaluate("video => video.currentTime") < start_s + 1 / RATE
    assert page.locator("video").count() == 1


def test_what_chromium_cannot_play_is_shown_as_frames(watched: Watched) -> None:
    page = on_shot(watched, "shot00003_4")
    page.keyboard.press(" ")
    expect(page.locator(".player-note")).to_contain_text("cannot play mpeg4: 24 frames instead")
    expect(page.locator(".tile .strip")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.locator(".tile .strip")).to_have_count(0)


def test_the_reason_why_a_video_cannot_be_shown_is_told(browser: Browser, tiny: TinyServed, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "00001.mp4").write_bytes(b"no video")
    with running(tiny.options(tmp_path, videos=tmp_path / "videos")) as server:
        watched = Watched(browser, server.root)
        for shot, words in (("shot00001_3", "not a video that FFmpeg can open"), ("shot00002_3", "there is no file")):
            page = on_shot(watched, shot)
            page.keyboard.press(" ")
            expect(page.locator(".player-note")).to_contain_text(f"Its video cannot be shown: {words}")
        watched.forget()  # that there are no frames either is told by Chromium


def test_a_tile_that_is_made_anew_plays_again(watched: Watched) -> None:
    page = on_shot(watched, "shot00001_7")
    page.keyboard.press(" ")
    expect(page.locator(".tile .playing")).to_have_count(1)
    page.set_viewport_size({"width": 1100, "height": 800})
    expect(page.locator(".tile .playing")).to_have_count(0)
    page.keyboard.press(" ")
    expect(page.locator(".tile .playing")).to_have_count(1)
    expect(page.locator(".tile video")).to_have_js_property("paused", False)


def test_frames_under_the_pointer(watched: Watched) -> None:
    page = on_shot(watched, "shot00003_4")
    pic = page.locator(".tile:focus .pic")
    pic.hover()
    strip = pic.locator(".strip")
    expect(strip).to_be_visible()
    before = strip.get_attribute("style")
    box = pic.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 10)
    assert strip.get_attribute("style") != before
    last = strip.get_attribute("style")
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -100)
    until(page, lambda: strip.get_attribute("style") != last)
    page.mouse.wheel(0, 100)
    until(page, lambda: strip.get_attribute("style") == last)
    page.keyboard.up("Shift")
    assert page.get_by_role("grid").evaluate("grid => grid.scrollTop") == 0
    page.mouse.move(0, 0)
    expect(strip).to_have_count(0)
    calm = watched.page(page.url, reduced_motion="reduce")
    expect(calm.locator(".tile:focus")).to_be_visible()
    calm.locator(".tile:focus .pic").hover()
    calm.wait_for_timeout(400)
    expect(calm.locator(".strip")).to_have_count(0)


def test_the_player_submits_the_moment_that_it_shows(watched: Watched) -> None:
    held = watched.held  # type: ignore[attr-defined]
    page = on_shot(watched, "shot00001_3")
    page.keyboard.press("Shift+Enter")
    video = page.locator("dialog.large video")
    expect(video).to_have_js_property("readyState", 4)
    page.keyboard.press(".")  # stops it
    expect(video).to_have_js_property("seeking", False)
    at_s = video.evaluate("video => video.currentTime")
    page.keyboard.press("s")
    expect(page.get_by_role("button", name="1 accepted")).to_be_attached()
    ((_, item, start_ms, end_ms, _),) = held.keys()
    assert (item, start_ms) == ("00001", end_ms)
    assert start_ms == int(round((at_s - STARTS_S["00001"]) * 1000, 6))  # 1.682 - 1 is less than .682


def test_a_verdict_that_comes_later_reaches_the_tile(watched: Watched) -> None:
    held = watched.held  # type: ignore[attr-defined]
    held.verdict = "INDETERMINATE"
    page = on_shot(watched, "shot00002_4")
    bar = page.get_by_role("region", name="Showdown")
    expect(bar).to_contain_text("Live: submissions count")
    expect(bar).to_contain_text("avs-01 · Ad-hoc Video Search")
    expect(page.get_by_role("timer", name="Time left")).to_have_text(re.compile(r"\d:\d\d"))
    page.keyboard.press("s")
    sign = page.locator('.tile[data-shot="shot00002_4"] .out')
    expect(sign).to_have_text(re.compile("[~↑]"))
    held.judge("WRONG")
    expect(sign).to_have_text("✕")
    start_ms, end_ms = held.keys()[-1][2:4]
    assert (start_ms, end_ms) == (720, 960)

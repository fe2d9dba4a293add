"""The attributes of a run file, as they are typed into the page."""

from __future__ import annotations

from pathlib import Path

from pages import Watched, asked, expect


def test_attributes_are_quoted_or_refused(watched: Watched) -> None:
    page = asked(watched, topic="661")
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Export")
    dialog.get_by_label("Format").select_option("xml")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    attributes, write = dialog.get_by_label("Attributes of the run"), dialog.get_by_role("button", name="Write")
    for typed, wrong in (
        ("pid=TEAM desc=our best system", "best system"),
        ('desc="our', 'desc="our'),
        ("desc=", "desc="),
    ):
        attributes.fill(typed)
        write.click()
        expect(dialog.get_by_role("status")).to_contain_text("Attributes are NAME=VALUE")
        expect(dialog.get_by_role("status").locator("dd")).to_have_text(wrong)
    assert not [url for url in sent if url.endswith("/export")]
    attributes.fill('--trtype=D pid=TEAM NOVELTY=C priority=1 desc="our best system"')
    with page.expect_download() as download:
        write.click()
    content = Path(download.value.path()).read_text(encoding="utf-8")
    assert 'desc="our best system"' in content and 'trType="D"' in content and 'class="F"' in content

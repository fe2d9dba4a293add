"""Pictures and files of videos over HTTP."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from live_server import TinyServed, ask
from PIL import Image
from tiny_videos import copied

from avs.core.shots import read_shot_table
from avs.serve.media import Media, media_cache
from avs.serve.opened.shot_columns import open_columns
from avs.serve.ranges import span
from avs.serve.refusal import Refusal
from avs.video.folder import VideoFolder
from avs.video.keyframes import write_keyframe
from avs.video.sampling import Sampling

Serve = Callable[..., httpx.Client]


def picture(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg", answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def test_a_picture_is_made_of_the_middle_of_its_shot(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    client = serve()
    shot = read_shot_table(tiny.shots).get("shot00002_12")
    (frames,) = VideoFolder({"00002": tiny.videos / "00002.mp4"}, Sampling("middle")).read("00002", [shot])
    answer = client.get("/media/keyframe/shot00002_12.jpg")
    apart = np.abs(picture(answer) - frames.data[0].astype(int)).mean()
    other = picture(client.get("/media/keyframe/shot00002_1.jpg"))
    assert apart < 20 < 40 < np.abs(other - frames.data[0].astype(int)).mean()  # a JPEG of noise loses its colours
    assert "immutable" in answer.headers["cache-control"]
    again = client.get("/media/keyframe/shot00002_12.jpg", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert len(list((tmp_path / "cache").rglob("keyframes-480/*/shot00002_12.jpg"))) == 1
    assert client.get("/media/keyframe/shot00002_12.jpg").content == answer.content
    assert picture(client.get("/media/keyframe/shot00002_12.jpg?w=160")).shape == (48, 64, 3)  # never enlarged
    for wrong in ("w=161", "w=0", "w=-1", "w=x", "w=1e9"):
        assert client.get(f"/media/keyframe/shot00002_12.jpg?{wrong}").status_code == 422


def test_given_pictures_come_first(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    shot = read_shot_table(tiny.shots).get("shot00001_1")
    (frames,) = VideoFolder({"00001": tiny.videos / "00001.mp4"}, Sampling("middle")).read("00001", [shot])
    red = np.zeros((1, 240, 320, 3), dtype=np.uint8)
    red[..., 0] = 250
    write_keyframe(type(frames)(shot.id, red, frames.pts_s), tmp_path / "pictures")
    client = serve(keyframes=tmp_path / "pictures")
    assert picture(client.get("/media/keyframe/shot00001_1.jpg")).shape == (240, 320, 3)
    small = picture(client.get("/media/keyframe/shot00001_1.jpg?w=160"))
    assert small.shape == (120, 160, 3) and small[..., 0].min() > 230 and small[..., 1].max() < 20
    assert picture(client.get("/media/keyframe/shot00001_2.jpg")).shape == (48, 64, 3)


def test_a_picture_that_is_replaced_is_reduced_anew(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "00001" / "shot00001_1.jpg"
    path.parent.mkdir(parents=True)
    client = serve(keyframes=tmp_path / "pictures")
    for grey in (40, 200):
        Image.new("RGB", (320, 240), (grey,) * 3).save(path)
        later_ns = path.stat().st_mtime_ns + grey * 10**9
        os.utime(path, ns=(later_ns, later_ns))
        assert abs(picture(client.get("/media/keyframe/shot00001_1.jpg?w=160")).mean() - grey) < 3
        if grey == 40:
            (kept,) = (tmp_path / "cache").rglob("keyframes-160/*/shot00001_1.jpg")
            os.utime(kept, ns=(later_ns, later_ns))


def test_without_videos_there_are_no_pictures(serve: Serve) -> None:
    client = serve(videos=None, shots=None)
    status = client.get("/api/v1/status").json()
    assert status["media"] == {
        "keyframes": False, "videos": False, "times": False,
        "missing": {"key frames": "--keyframes, or --videos with --shots", "videos": "--videos", "times": "--shots",
                    "lists": "--lists", "texts": "--text-table"},
    }  # fmt: skip
    for path in ("/media/keyframe/shot00001_1.jpg", "/media/sprite/shot00001_1.jpg", "/media/video/00001"):
        answer = client.get(path)
        assert answer.status_code == 404 and answer.json()["error"]["next_step"]
    answer = ask(client, "a dog")
    assert answer["results"][0]["start_s"] is None
    in_time = client.post("/api/v1/search", json={"parts": [{"text": "a"}, {"text": "b"}]})
    assert in_time.status_code == 422 and "--shots" in in_time.text


def test_a_sprite_has_the_frames_of_a_shot_side_by_side(serve: Serve, tiny: TinyServed) -> None:
    client = serve()
    for count in (8, 24):
        strip = picture(client.get(f"/media/sprite/shot00003_2.jpg?frames={count}"))
        assert strip.shape == (120, 160 * count, 3)
    assert client.get("/media/sprite/shot00003_2.jpg?frames=9").status_code == 422
    assert client.get("/media/sprite/shot00003_2.jpg").content == client.get("/media/sprite/shot00003_2.jpg").content


def test_times_of_a_file_are_kept_and_not_believed_when_they_were_changed(tiny: TinyServed, tmp_path: Path) -> None:
    def opened() -> Media:
        videos = {"00001": tiny.videos / "00001.mp4"}
        return Media(open_columns(tiny.shots, tmp_path), videos, None, tmp_path / "media", at_once=1, sprites=1)

    first = opened()
    first.look_at_all(lambda: False)
    clock = first.clock("00001")
    assert opened()._clocks == {"00001": clock}
    kept = tmp_path / "media" / "clocks.txt"
    whole = kept.read_bytes()
    for spoiled in (whole.replace(b'"zero_s": ', b'"zero_s": 9'), whole[:-9], b"", b"\xff\n"):
        assert spoiled != whole
        kept.write_bytes(spoiled)
        assert opened()._clocks == {} and opened().clock("00001") == clock


def test_many_sprites_at_once_are_refused(tiny: TinyServed, tmp_path: Path) -> None:
    columns = open_columns(tiny.shots, tmp_path)
    videos = {"00001": tiny.videos / "00001.mp4"}
    media = Media(columns, videos, None, tmp_path / "media", at_once=1, sprites=2)
    held = media._making
    held.acquire()
    threads = [threading.Thread(target=media.sprite, args=(f"shot00001_{n}", 8)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    while (
        media._sprites._value
    ):  # not by taking one: a thread that finds none left is refused, and this would never end
        time.sleep(0.001)
    with pytest.raises(Refusal, match="too many sprites at once"):
        media.sprite("shot00001_3", 8)
    held.release()
    for thread in threads:
        thread.join()
    assert media.sprite("shot00001_3", 8)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-99", (0, 100)),
        ("bytes=100-", (100, 1000)),
        ("bytes=-10", (990, 1000)),
        ("bytes=0-0", (0, 1)),
        ("bytes=999-5000", (999, 1000)),
        ("bytes=-5000", (0, 1000)),
    ],
)
def test_a_range(header: str, wanted: tuple[int, int]) -> None:
    assert span(header, 1000) == wanted


@pytest.mark.parametrize(
    "header",
    ["bytes=1000-", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,2-3", "bytes=", "",
     "bytes=0-1" + ",0-1" * 10_000, "bytes=99999999999999999999-", "bytes=٣-٤"],
)  # fmt: skip
def test_a_range_that_is_refused(header: str) -> None:
    with pytest.raises(Refusal) as refused:
        span(header, 1000)
    assert refused.value.status == 416 and refused.value.headers == {"Content-Range": "bytes */1000"}


def test_a_video_in_ranges(shared_client: httpx.Client, tiny: TinyServed) -> None:
    data = (tiny.videos / "00001.mp4").read_bytes()
    whole = shared_client.get("/media/video/00001")
    assert whole.content == data and whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "video/mp4"
    part = shared_client.get("/media/video/00001", headers={"range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == data[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(data)}"
    same = {"range": "bytes=0-9", "if-range": whole.headers["etag"]}
    assert shared_client.get("/media/video/00001", headers=same).status_code == 206
    assert shared_client.get("/media/video/00001", headers={**same, "if-range": '"x"'}).status_code == 200
    many = shared_client.get("/media/video/00001", headers={"range": "bytes=0-1,2-3"})
    assert many.status_code == 416 and many.headers["content-range"] == f"bytes */{len(data)}"
    head = shared_client.head("/media/video/00001")
    assert head.headers["content-length"] == str(len(data)) and not head.content
    kept = shared_client.get("/media/video/00001", headers={"if-none-match": whole.headers["etag"]})
    assert kept.status_code == 304


def test_times_in_a_file_that_does_not_start_at_0(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (tmp_path / "one.mp4").write_bytes((tiny.videos / "00001.mp4").read_bytes())

    def later(packet) -> None:
        shift = round(5 / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift

    copied(tmp_path / "one.mp4", "late.mkv", later).rename(videos / "00001.mkv")
    client = serve(videos=videos)
    found = client.get("/api/v1/shots/shot00001_3").json()
    assert found["start_s"] == pytest.approx(0.48)
    offset_s = found["start_in_file_s"] - found["start_s"]
    assert 5 <= offset_s < 7  # a muxer may add a little of its own
    assert found["end_in_file_s"] - found["end_s"] == pytest.approx(offset_s)
    answer = ask(client, "a dog", filter={"videos": ["00001"]})
    assert {round(one["start_in_file_s"] - one["start_s"], 6) for one in answer["results"]} == {round(offset_s, 6)}
    shots = client.get("/api/v1/videos/00001").json()
    assert shots["shots"][2]["start_in_file_s"] == pytest.approx(found["start_in_file_s"])
    assert (shots["codec"], shots["type"], len(shots["shots"])) == ("mpeg4", "video/x-matroska", 25)
    missing = client.get("/api/v1/videos/00002").json()
    assert missing["media"] is None and missing["problem"].startswith("there is no file of this video")


def test_neighbours_of_a_shot(shared_client: httpx.Client) -> None:
    found = shared_client.get("/api/v1/shots/shot00002_2").json()
    assert found["before"] == ["shot00002_1"] and found["after"] == [f"shot00002_{n}" for n in range(3, 8)]
    assert (found["number"], found["video"], found["media"]) == (2, "00002", "/media/video/00002")
    assert shared_client.get("/api/v1/shots/shot00009_2").status_code == 404
    assert shared_client.get("/api/v1/videos/00009").status_code == 404


def test_a_damaged_video_is_told(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "00001.mp4").write_bytes(b"no video")
    client = serve(videos=videos)
    assert client.get("/api/v1/videos/00001").json()["problem"].startswith("not a video that FFmpeg can open")
    assert client.get("/media/keyframe/shot00001_1.jpg").status_code == 404
    (videos / "00001.mp4").unlink()
    assert client.get("/media/video/00001").status_code == 404


def test_two_collections_with_the_same_ids_share_no_pictures(tiny: TinyServed, tmp_path: Path) -> None:
    columns = open_columns(tiny.shots, tmp_path)
    places = {media_cache(tmp_path, columns, folder, None) for folder in (tmp_path / "a", tmp_path / "b")}
    assert len(places) == 2 and media_cache(tmp_path, columns, tmp_path / "a", None) in places


def test_the_columns_come_from_the_cache(tiny: TinyServed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_columns(tiny.shots, tmp_path)
    monkeypatch.setattr("avs.serve.opened.shot_columns.read_shot_table", None)
    again = open_columns(tiny.shots, tmp_path)
    assert (again.ids, again.videos) == (first.ids, first.videos)
    np.testing.assert_array_equal(again.start_s, first.start_s)
    monkeypatch.undo()
    for name in ("ids.txt", "start_s.npy", "videos.txt"):
        (path,) = tmp_path.rglob(name)
        path.write_bytes(path.read_bytes()[:-20])
        assert open_columns(tiny.shots, tmp_path).ids == first.ids  # made again


def jpeg(width: int, height: int, kind: str = "jpeg") -> bytes:
    coded = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)).save(coded, kind)
    return coded.getvalue()


def test_a_picture_to_search_with(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    client = serve()
    for kind in ("jpeg", "png", "webp", "gif", "bmp"):
        headers = {"content-type": f"image/{kind}"}
        made = client.post("/api/v1/uploads", content=jpeg(40, 30, kind), headers=headers)
        assert made.status_code == 200, made.text
        assert (made.json()["width"], made.json()["height"]) == (40, 30)
    assert made.json()["systems"] == ["one-shot", "two-shot"]
    answer = ask(client, parts=[{"image": made.json()["image"]}], by=["one-shot"])
    assert answer["total"] == 60
    from avs.features.embedder import load_embedder

    encoder = load_embedder("clip", weights=tiny.root / "weights-one")
    pixels = np.asarray(Image.open(io.BytesIO(jpeg(40, 30, "bmp"))).convert("RGB"))
    vector = encoder.encode_images(encoder.preprocess(pixels[None]))[0]
    store = client.server.state.opened.collection.stores["one-shot"]
    scores = store.vectors.astype(np.float32) @ vector
    assert answer["results"][0]["shot"] == store.columns.ids[int(scores.argmax())]
    assert not [path for path in tmp_path.rglob("*") if "image" in path.name]


def test_pictures_that_are_refused(serve: Serve) -> None:
    client = serve(limits={"upload_pixels": 10_000})
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    bomb += jpeg(20, 20, "png")[33:]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    for data, kind, status in (
        (b"a" * (10 * 2**20 + 1), "image/jpeg", 413),
        (jpeg(200, 100), "image/jpeg", 413),
        (bomb, "image/png", 413),
        (svg, "image/svg+xml", 403),
        (svg, "image/png", 422),
        (b"hello", "image/jpeg", 422),
        (b"", "image/jpeg", 422),
        (jpeg(40, 30)[:-300], "image/jpeg", 422),
        (jpeg(40, 30), "text/plain", 403),
        (jpeg(40, 30, "tiff"), "image/png", 422),
    ):
        answer = client.post("/api/v1/uploads", content=data, headers={"content-type": kind})
        assert answer.status_code == status, (kind, data[:40], answer.text)
        if kind in ("image/svg+xml", "text/plain"):
            assert answer.json()["error"]["wanted"] == "a picture: JPEG, PNG, WebP, GIF or BMP"


def test_a_damaged_key_frame_is_named(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "00001" / "shot00001_1.jpg"
    path.parent.mkdir(parents=True)
    client = serve(keyframes=tmp_path / "pictures")
    for broken in (b"", b"no picture", jpeg(320, 240)[:400]):
        path.write_bytes(broken)
        answer = client.get("/media/keyframe/shot00001_1.jpg?w=160")
        error = answer.json()["error"]
        assert answer.status_code == 404 and error["what"] == "the picture cannot be read"
        assert error["where"] == "00001/shot00001_1.jpg of --keyframes" and "BytesIO" not in answer.text
    path.write_bytes(jpeg(320, 240))
    assert picture(client.get("/media/keyframe/shot00001_1.jpg?w=160")).shape == (120, 160, 3)

"""Every layout reads into the same captions; what is wrong is said at once, with its lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_captions import ACTIVITYNET, CLIP, DIDEMO, EXAMPLES, GIF, LSMDC_LINE, MSRVTT, MSVD_HEADER, write

from avs.captions.caption_format import HEAD_CHARACTERS, caption_formats
from avs.captions.read import read_captions, read_video_list
from avs.captions.ruc import write_captions
from avs.core.captions import Caption, CaptionSet
from avs.core.errors import AvsError, ConfigError, DataError, FormatError, UnknownIdError

FLICKR8K = Path("../shared/data/flickr8k_clip/Flickr8k.token.txt")


def test_every_format_has_an_example() -> None:
    assert set(caption_formats) == set(EXAMPLES)


@pytest.mark.parametrize("format", EXAMPLES)
def test_a_format_is_recognised_by_itself_alone_and_read(tmp_path: Path, format: str) -> None:
    text, wanted = EXAMPLES[format]
    assert [f for f in caption_formats if caption_formats.get(f).recognises(text[:HEAD_CHARACTERS])] == [format]
    path = write(tmp_path, text)
    captions = read_captions(path)
    assert [(c.id, c.video) for c in captions] == wanted
    assert read_captions(path, format=format).fingerprint == captions.fingerprint


@pytest.mark.parametrize("format", EXAMPLES)
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path, format: str) -> None:
    text = EXAMPLES[format][0]
    (tmp_path / "w.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_captions(tmp_path / "w.txt").fingerprint == read_captions(write(tmp_path, text)).fingerprint


def test_sentences_keep_their_words_and_single_spaces(tmp_path: Path) -> None:
    assert read_captions(write(tmp_path, json.dumps(MSRVTT))).texts == ("a car is shown", "men play", "a red car")
    assert read_captions(write(tmp_path, EXAMPLES["msvd-csv"][0])).texts == ("A bird, wet",)


def test_a_line_separator_within_a_caption_does_not_end_its_line(tmp_path: Path) -> None:
    assert read_captions(write(tmp_path, "a#0 one\u2028two\nb#0 three\n")).texts == ("one two", "three")


def test_names(tmp_path: Path) -> None:
    assert read_captions(write(tmp_path, "a#0 x", "mini.caption.txt")).name == "mini"
    assert read_captions(write(tmp_path, "a#0 x"), name="other").name == "other"
    assert read_captions(write(tmp_path, json.dumps(MSRVTT), "m.json"), split="train").name == "m-train"


def test_all_problems_of_a_file_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a#0 one\nb#0\n\nno id here\na#0 again\n")
    with pytest.raises(FormatError) as caught:
        read_captions(path)
    assert str(caught.value) == (
        f"captions {path}: 3 problems\n"
        f'  {path}:4: no caption id <video>#<k> before "no id here"\n'
        f"  {path}:2: the caption b#0 is empty\n"
        f"  {path}:5: a#0 was used before, at 1\n"
        "  next:   a file of this format holds: <video>#<k> sentence"
    )


@pytest.mark.parametrize(
    ("text", "format", "said"),
    [
        ("x.jpg#0\ta\ny.png\tb\n", "flickr8k", ':2: no <image>.jpg#<k> and tab at the beginning of "y.png\tb"'),
        (f"{GIF.format(1)}\ta\nhttp://x/y.png\tb\n", "tgif", ":2: no URL of a .gif and tab"),
        ("-4wsuPCjDBc_5_15 a\nbroken b\n", "msvd", ':2: no <YouTube id>_<start>_<end> before "broken b"'),
        (
            MSVD_HEADER + "mv89psg6zh4,a,46,1,c,5,English,x\n",
            "msvd-csv",
            ":2: VideoID, Start, End are mv89psg6zh4, a, 46",
        ),
        (MSVD_HEADER + "mv89psg6zh4,1,46,1,c,5,English,\n", "msvd-csv", ":2: the caption mv89psg6zh4_1_46#0 is empty"),
        ("videoid,name\n1,a\n1,b\n", "webvid", ":3: 1#0 was used before, at 2"),
        ('videoid,name\n1,"a\nb"\n2,c,d\n', "webvid", ":4: 3 fields, wanted 2"),
        ('videoid,name\n1,"a\n2,b\n', "webvid", ":2"),
        ("videoid,title\n1,a\n", "webvid", "no column name"),
        ('[{"videoID": "a", "enCap": ["x"]}, {"videoID": "b"}]', "vatex", ":[1]: wanted"),
        (
            '[{"videoID": "a", "enCap": ["x"]}, {"videoID": "a", "enCap": ["y"]}]',
            "vatex",
            "video a was used before, at [0]",
        ),
        ('{"videos": [],\n "sentences": [}', "msrvtt", ":2"),
        ('[{"videoID": "a", "enCap": ["x"], "enCap": ["y"]}]', "vatex", "a name occurs twice in a JSON object"),
        (LSMDC_LINE + "a\nx\t1\t2\n", "lsmdc", ':2: 3 fields, wanted 6, in "x\t1\t2"'),
        (LSMDC_LINE + " \n", "lsmdc", f":1: the caption {CLIP}#0 is empty"),
        ('{"v": {"duration": 1, "timestamps": [[0, 1]], "sentences": []}}', "activitynet", ":v: wanted"),
        ('{"v": {"duration": 1, "timestamps": [[0]], "sentences": ["a"]}}', "activitynet", ":v: wanted"),
        ('{"v": {"timestamps": [[0, 1]], "sentences": ["a"]}}', "activitynet", ":v: wanted"),
        ('{"v": {}, "v": {}}', "activitynet", "a name occurs twice"),
        ('[{"video": "a.mov", "description": "x", "times": []}]', "didemo", ":[0]: wanted"),
        ('[{"video": "a.mov", "description": "x", "times": [[2, 1]]}]', "didemo", ":[0]: wanted"),
        ('[{"video": "a.mov", "description": "x", "times": [[0.5, 1]]}]', "didemo", ":[0]: wanted"),
        ('{"videos": [], "sentences": [{"video_id": "v", "caption": "x"}]}', "msrvtt", "[0]: v is none of the videos"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, format: str, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_captions(write(tmp_path, text), format=format)
    assert said in str(caught.value)


def test_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("a#0 one\na#1 caf\xe9\n".encode("latin1"))
    with pytest.raises(FormatError, match="captions must be UTF-8 text") as caught:
        read_captions(path)
    assert (caught.value.where, caught.value.got) == (f"{path}:2", "byte 0xe9")


@pytest.mark.parametrize("text", ["", "\n\n", "what is this\n", '{"captions": []}'])
def test_an_unknown_layout_lists_the_known_ones(tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match="not a known caption format") as caught:
        read_captions(write(tmp_path, text))
    assert all(name in str(caught.value.wanted) for name in caption_formats)


def test_unknown_names(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(MSRVTT))
    with pytest.raises(ConfigError, match='unknown caption format "msrvt"; did you mean "msrvtt"?'):
        read_captions(path, format="msrvt")
    with pytest.raises(ConfigError, match='unknown split "trian"; did you mean "train"?') as caught:
        read_captions(path, split="trian")
    assert caught.value.wanted == "train, validate, or a file with one video per line"
    with pytest.raises(AvsError, match="no such caption file"):
        read_captions(tmp_path / "absent.txt")


def test_splits_by_name_and_by_list(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(MSRVTT))
    assert read_captions(path, split="train").ids == ("video0#0", "video0#1")
    listed = write(tmp_path, "video_id\nvideo7\n", "7k.csv")
    assert read_captions(path, split=str(listed)).ids == ("video7#0",)
    pairs = write(tmp_path, "key,vid_key,video_id,sentence\nret0,msr0,video0,x\n", "1ka.csv")
    assert read_captions(path, split=str(pairs)).videos == ("video0",)
    with pytest.raises(UnknownIdError, match="1 of 2 videos of the split have no caption"):
        read_captions(path, split=str(write(tmp_path, "video7\nvideo8\n", "list.txt")))


def test_named_splits_joined(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(MSRVTT), "m.json")
    both = read_captions(path, split="train+validate")
    assert (both.name, both.ids) == ("m-train+validate", ("video0#0", "video7#0", "video0#1"))
    with pytest.raises(ConfigError, match=r'unknown split "train\+test"'):
        read_captions(path, split="train+test")


def test_lists_name_videos_as_their_collection_does(tmp_path: Path) -> None:
    for text, entry, video in (
        (json.dumps(ACTIVITYNET), "Aaaaaaaaaa0", "v_Aaaaaaaaaa0"),
        (json.dumps(ACTIVITYNET), "v_Aaaaaaaaaa0", "v_Aaaaaaaaaa0"),
        (json.dumps(DIDEMO), "3@N00_4_cd.", "3@N00_4_cd"),
        (json.dumps(DIDEMO), "1@N00_2_ab.avi", "1@N00_2_ab"),
        (EXAMPLES["lsmdc"][0], f"{CLIP}.avi", CLIP),
    ):
        listed = write(tmp_path, entry + "\n", "list.txt")
        assert read_captions(write(tmp_path, text), split=str(listed)).videos == (video,)
    gifs = write(tmp_path, f"{GIF.format(1)}\ta\n{GIF.format(2)}\tb\n", "t.tsv")
    assert read_captions(gifs, split=str(write(tmp_path, GIF.format(2) + "\n", "val.txt"))).texts == ("b",)
    images = write(tmp_path, EXAMPLES["flickr8k"][0])
    assert read_captions(images, split=str(write(tmp_path, "1_a.jpg\n", "trainImages.txt"))).videos == ("1_a",)


def test_lists_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match='wanted one video, got "a b"'):
        read_video_list(write(tmp_path, "x\na b\n"))
    with pytest.raises(FormatError, match="a list without videos"):
        read_video_list(write(tmp_path, "video_id\n"))


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    captions = CaptionSet(
        "x", [Caption("v1#0", "v1", "a b"), Caption("v2#enc#1", "v2", "naïve 犬"), Caption("v1#9", "v1", "c")]
    )
    write_captions(captions, tmp_path / "x.caption.txt")
    assert read_captions(tmp_path / "x.caption.txt").fingerprint == captions.fingerprint


def test_ids_that_the_layout_cannot_hold_are_refused(tmp_path: Path) -> None:
    captions = CaptionSet("x", [Caption("17", "v1", "a"), Caption("v 1#0", "v 1", "b"), Caption("v3#0", "v4", "c")])
    with pytest.raises(DataError, match="3 problems"):
        write_captions(captions, tmp_path / "x.txt")
    assert not (tmp_path / "x.txt").exists()


@pytest.mark.skipif(not FLICKR8K.is_file(), reason="no Flickr8k.token.txt in ../shared/data")
def test_the_real_flickr8k_has_five_captions_an_image() -> None:
    captions = read_captions(FLICKR8K)
    assert (len(captions), len(captions.videos)) == (40460, 8092)
    assert all(captions.video_of.tolist().count(v) == 5 for v in (0, captions.videos.index("2258277193_586949ec62")))

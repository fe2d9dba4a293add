"""A small caption file of every format, written here, and the ids and videos of its captions."""

from __future__ import annotations

import json
from pathlib import Path

GIF = "https://38.media.tumblr.com/9f/tumblr_me{}_500.gif"
MSRVTT = {
    "info": {"year": "2016"},
    "videos": [{"video_id": "video0", "split": "train"}, {"video_id": "video7", "split": "validate"}],
    "sentences": [
        {"sen_id": 0, "video_id": "video0", "caption": "a car is shown"},
        {"sen_id": 2, "video_id": "video7", "caption": "men play"},
        {"sen_id": 1, "video_id": "video0", "caption": "a  red car"},
    ],
}
MSVD_HEADER = "VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description\n"
CLIP = "0001_Film_00.00.51.926-00.00.54.129"
LSMDC_LINE = f"{CLIP}\t00.00.51.926\t00.00.54.129\t00.00.51.426\t00.00.54.629\t"
ACTIVITYNET = {
    "v_Zzzzzzzzzz1": {"duration": 8.5, "timestamps": [[4, 8.5], [0, 4.1]], "sentences": ["He stops.", " He runs."]},
    "v_Aaaaaaaaaa0": {"duration": 3, "timestamps": [[0, 3]], "sentences": ["A cat."]},
}
DIDEMO = [
    {"video": "1@N00_2_ab.mov", "description": "a dog", "times": [[2, 2], [1, 2], [3, 4], [2, 2]], "num_segments": 6},
    {"video": "3@N00_4_cd.", "description": "a tree", "times": [[0, 0]]},
    {"video": "1@N00_2_ab.mp4", "description": "it barks", "times": [[5, 5], [5, 5]]},
]
EXAMPLES = {
    "lsmdc": (LSMDC_LINE + "Someone waves.\n" + LSMDC_LINE + "He nods.\n", [(f"{CLIP}#0", CLIP), (f"{CLIP}#1", CLIP)]),
    "activitynet": (
        json.dumps(ACTIVITYNET),
        [
            ("v_Zzzzzzzzzz1#0", "v_Zzzzzzzzzz1"),
            ("v_Zzzzzzzzzz1#1", "v_Zzzzzzzzzz1"),
            ("v_Aaaaaaaaaa0#0", "v_Aaaaaaaaaa0"),
        ],
    ),
    "didemo": (
        json.dumps(DIDEMO),
        [("1@N00_2_ab#0", "1@N00_2_ab"), ("3@N00_4_cd#0", "3@N00_4_cd"), ("1@N00_2_ab#1", "1@N00_2_ab")],
    ),
    "ruc": ("bu_150_166#0 A woman\nvideo7#enc#3 a man\n", [("bu_150_166#0", "bu_150_166"), ("video7#enc#3", "video7")]),
    "flickr8k": ("1_a.jpg#0\tA child\n2_b.jpg.1#0\tA dog\n", [("1_a#0", "1_a"), ("2_b#0", "2_b")]),
    "tgif": (
        f"{GIF.format(1)}\ta man\n{GIF.format(1)}\ta cat\n",
        [("tumblr_me1_500#0", "tumblr_me1_500"), ("tumblr_me1_500#1", "tumblr_me1_500")],
    ),
    "vatex": (
        json.dumps([{"videoID": "abc_1_11", "enCap": ["One.", "Two."], "chCap": ["一"]}]),
        [("abc_1_11#0", "abc_1_11"), ("abc_1_11#1", "abc_1_11")],
    ),
    "msvd": (
        "The English descriptions.\n\n-4wsuPCjDBc_5_15 a squirrel\n-4wsuPCjDBc_5_15 it eats\n",
        [("-4wsuPCjDBc_5_15#0", "-4wsuPCjDBc_5_15"), ("-4wsuPCjDBc_5_15#1", "-4wsuPCjDBc_5_15")],
    ),
    "msvd-csv": (
        MSVD_HEADER + 'mv89psg6zh4,33,46,1,clean,5,German,Vogel\nmv89psg6zh4,33,46,1,clean,5,English,"A bird, wet"\n',
        [("mv89psg6zh4_33_46#0", "mv89psg6zh4_33_46")],
    ),
    "webvid": (
        'videoid,contentUrl,duration,page_dir,name\n21,http://x,PT1S,0_1,"Aerial, forest"\n',
        [("21#0", "21")],
    ),
    "msrvtt": (json.dumps(MSRVTT), [("video0#0", "video0"), ("video7#0", "video7"), ("video0#1", "video0")]),
    "msrvtt-1ka": ("key,vid_key,video_id,sentence\nret0,msr9,video9,a person\n", [("video9#0", "video9")]),
}


def write(folder: Path, text: str, name: str = "c.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path

"""From topics to a plot of xinfAP per topic, in Python. Run `avs demo` first, then

    python docs/python_example.py avs-demo docs/python_example.svg

Each part between `# %%` marks is a cell: editors that know the format (VS Code, Spyder, Jupytext) run it as a notebook.
"""

# %% What the demo made: topics, judgments, feature stores, and a LAFF that is trained on other shots
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import avs

demo, plot = Path(sys.argv[1]), Path(sys.argv[2])
topics = avs.read_topics(demo / "collection/topics/mini.avs.topics.txt")
qrels = avs.read_qrels(demo / "collection/qrels/avs.qrels.mini")
stores = [demo / "features" / name / "shot" for name in ("mini-clip", "mini-blip", "mini-blip2")]

# %% Search with the three encoders and the trained model; fuse the lists
runs = avs.search([*stores, demo / "models/laff"], topics)
fused = avs.fuse(runs, "average")
for run in (*runs.values(), fused):
    print(avs.evaluate(run, qrels, ["xinfAP", "iP@10"]))

# %% Is the fused list better than the best single one, or is that chance?
print(avs.compare([runs["laff"], fused], qrels, "xinfAP"))

# %% One sentence, no topics; and the list as a pandas table
print(avs.search(stores[:1], "a red circle moving left")["mini-clip-shot"].to_pandas().head(3))

# %% xinfAP per topic, the best topic first
names = ["mini-clip-shot", "laff", "average"]
by_topic = {run.tag: avs.evaluate(run, qrels, ["xinfAP"]).to_pandas().iloc[:, 0] for run in (*runs.values(), fused)}
order = by_topic["average"].sort_values(ascending=False).index
figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
for place, name in enumerate(names):
    axes.bar([x + (place - 1) * 0.27 for x in range(len(order))], by_topic[name][order], width=0.27, label=name)
axes.set_xticks(range(len(order)), order, rotation=90)
axes.set(ylabel="xinfAP", xlabel="topic", title="xinfAP per topic")
axes.legend()
figure.savefig(plot)

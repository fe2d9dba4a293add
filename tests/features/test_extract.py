"""The extraction loop: rules of pooling, resuming, order, failures. Stores are compared byte for byte."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_frames import FakeFrames, table
from fake_streams import Streams
from tiny_checkpoints import DIM, QUERIES

from avs.core.errors import ChangedInputsError, ConfigError, DataError, StoreError, TooManyFailuresError, VideoError
from avs.core.progress import Reporter
from avs.core.store import FeatureStore, Problem
from avs.core.store_parts import SharedWriter, StoreParts, UnfinishedStore
from avs.features import device_queue
from avs.features import extract as loop
from avs.features.batches import ImageBatch, ImageBatches
from avs.features.claims import Shard
from avs.features.decoders import JobAgain, load_batches
from avs.features.device_queue import StreamedLane
from avs.features.embedder import load_embedder
from avs.features.encoders import ImageEncoder
from avs.features.encoding import Target
from avs.features.extract import extract, require_few_failures, store_manifest
from avs.features.levels import farthest_apart, parse_level

SHOTS = table({"00001": 9, "00002": 1, "00003": 2, "00010": 7, "00011": 1})
FILES = ("vectors.npy", "ids.txt", "problems.tsv", "offsets.npy", "pts_s.npy")


@pytest.fixture(scope="module")
def clip(checkpoints: dict[str, Path]) -> ImageEncoder:
    return load_embedder("clip", weights=checkpoints["clip"])


def target(
    embedder: ImageEncoder, folder: Path, levels: Sequence[str] = ("shot", "frame"), dtype: str = "float16"
) -> Target:
    sampling, inputs = {"policy": "fake"}, {"shots": SHOTS.fingerprint}
    manifests = {
        level: store_manifest(embedder.spec, parse_level(level), sampling=sampling, inputs=inputs, store_dtype=dtype)
        for level in levels
    }
    writers = [SharedWriter(folder / parse_level(level).folder, m, dtype) for level, m in manifests.items()]
    return Target(embedder, writers)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the stores under `folder` but the manifest, which tells the time."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.name in FILES}


class Counting(Reporter):
    """Notes how many shots each advance counts."""

    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        self.counts = counts

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Counting]:
        yield self

    def advance(self, n: int = 1, **more: Any) -> None:
        self.counts.append(n)


def run(embedder: ImageEncoder, folder: Path, source: FakeFrames | None = None, **options: Any) -> list[FeatureStore]:
    return extract(SHOTS, source or FakeFrames(), [target(embedder, folder)], **{"batch_size": 4} | options)


def test_shot_vectors_are_the_unit_mean_of_unit_frame_vectors(clip: ImageEncoder, tmp_path: Path) -> None:
    source = FakeFrames()
    shot, frame = extract(SHOTS, source, [target(clip, tmp_path, dtype="float32")], batch_size=4)
    assert shot.ids == frame.ids == SHOTS.ids
    for record in SHOTS:
        frames = source.frames(record)
        alone = clip.encode_images(clip.preprocess(frames.data))
        np.testing.assert_allclose(frame.frames(record.id), alone, atol=1e-5)
        mean = alone.mean(axis=0)
        np.testing.assert_allclose(shot.rows([record.id])[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert frame.pts_s is not None
    np.testing.assert_array_equal(frame.pts_s, np.concatenate([source.frames(record).pts_s for record in SHOTS]))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_changes_no_more_than_rounding(clip: ImageEncoder, tmp_path: Path, batch_size: int) -> None:
    first = run(clip, tmp_path / "4")[0]
    other = run(clip, tmp_path / "other", batch_size=batch_size)[0]
    np.testing.assert_allclose(other.vectors, first.vectors, atol=1e-3)


def test_batches_filled_across_units_change_no_more_than_rounding(
    checkpoints: dict[str, Path], clip: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blip, source = load_embedder("blip", weights=checkpoints["blip"]), FakeFrames(failed={"shot00010_1"})
    sizes: dict[str, list[int]] = {"clip": [], "blip": []}

    class Counted(StreamedLane):
        def start(self, rows: int) -> None:
            sizes[self.embedder.spec.name].append(rows)
            super().start(rows)

    def stores(folder: Path) -> list[FeatureStore]:
        targets = [target(clip, folder / "clip", dtype="float32"), target(blip, folder / "blip", dtype="float32")]
        return extract(SHOTS, source, targets, batch_size=4, reporter=Counting(shots))

    shots: list[int] = []
    as_they_are = stores(tmp_path / "units")
    monkeypatch.setattr(device_queue, "lane_of", lambda embedder, rows: Counted(embedder, rows, streams=Streams()))
    filled = stores(tmp_path / "filled")
    count = len(as_they_are[1].vectors)
    assert sizes["clip"] == sizes["blip"] == [4] * (count // 4) + [count % 4] * (count % 4 > 0)
    assert sum(shots) == 2 * len(SHOTS)
    for one, other in zip(as_they_are, filled, strict=True):
        assert one.ids == other.ids and one.problems == other.problems
        np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)


def test_vectors_under_way_of_a_job_that_is_done_again_do_not_count(
    clip: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = loop.load_batches

    def again(batches: ImageBatches, **options: Any) -> Generator[ImageBatch | JobAgain]:
        """Each job twice, as if its worker had died at its end."""
        found = list(load(batches, **options))
        jobs = {int(batches.units.job[batch.unit]): batch.stores for batch in found}
        for job, stores in jobs.items():
            of_job = [batch for batch in found if batches.units.job[batch.unit] == job]
            yield from of_job[:-1]  # type: ignore[misc]
            yield JobAgain(job, stores, "a worker died")
            yield from of_job  # type: ignore[misc]

    run(clip, tmp_path / "whole")
    monkeypatch.setattr(device_queue, "lane_of", lambda embedder, rows: StreamedLane(embedder, rows, streams=Streams()))
    monkeypatch.setattr(loop, "load_batches", again)
    shots: list[int] = []
    stores = run(clip, tmp_path / "again", reporter=Counting(shots))
    assert sum(shots) == len(SHOTS)
    for store in stores:
        whole = FeatureStore(tmp_path / "whole" / store.folder.name)
        assert store.ids == whole.ids
        np.testing.assert_allclose(np.asarray(store.vectors), np.asarray(whole.vectors), atol=1e-3)


def test_a_broken_run_resumes_to_the_same_bytes(clip: ImageEncoder, tmp_path: Path) -> None:
    run(clip, tmp_path / "whole")
    for broken in ("shot00001_3", "shot00001_9", "shot00010_2"):
        with pytest.raises(VideoError):
            run(clip, tmp_path / "killed", FakeFrames(broken=broken))
    assert not (tmp_path / "killed/shot/manifest.json").exists()
    source = FakeFrames()
    run(clip, tmp_path / "killed", source)
    assert "shot00001_9" not in [shots[0] for _, shots in source.asked], "what was finished was decoded again"
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_a_kill_between_the_parts_of_two_stores_loses_and_doubles_nothing(
    clip: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clip, tmp_path / "whole")
    write, written = StoreParts.write, []

    def killed(parts: StoreParts, job: int, part: Any) -> None:
        written.append(job)
        if len(written) >= 4:
            raise KeyboardInterrupt
        write(parts, job, part)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StoreParts, "write", killed)
        run(clip, tmp_path / "killed")
    parts = [len(list((tmp_path / "killed" / level / "parts").glob("*.part"))) for level in ("shot", "frame")]
    assert parts == [2, 1]
    run(clip, tmp_path / "killed")
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_workers_in_any_number_give_the_same_bytes(clip: ImageEncoder, tmp_path: Path) -> None:
    source = FakeFrames(failed={"shot00001_4", "shot00002_1"}, partial={"shot00010_1"})
    run(clip, tmp_path / "0", source)
    run(clip, tmp_path / "2", source, workers=2)
    assert content(tmp_path / "2") == content(tmp_path / "0")


def test_units_that_finish_in_another_order_keep_rows_and_ids_together(
    clip: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clip, tmp_path / "sorted")
    load = loop.load_batches

    def shuffled(batches: Any, **options: Any) -> Any:
        found = list(load(batches, **options))
        order = np.random.default_rng(0).permutation([batch.unit for batch in found])
        rank = {int(unit): i for i, unit in enumerate(dict.fromkeys(order.tolist()))}
        mixed = sorted(found, key=lambda batch: rank[batch.unit])
        assert [batch.unit for batch in mixed] != [batch.unit for batch in found]
        yield from mixed

    monkeypatch.setattr(loop, "load_batches", shuffled)
    run(clip, tmp_path / "shuffled")
    assert content(tmp_path / "shuffled") == content(tmp_path / "sorted")


def test_an_error_in_a_worker_arrives_as_it_was(clip: ImageEncoder, tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        run(clip, tmp_path, FakeFrames(broken="shot00010_3"), workers=1)
    assert str(caught.value) == "the video broke\n  where:  shot00010_3"


def test_shots_that_fail_are_rows_with_reasons(clip: ImageEncoder, tmp_path: Path) -> None:
    source = FakeFrames(failed={"shot00001_4", "shot00002_1"}, partial={"shot00010_1"})
    for store in run(clip, tmp_path, source):
        assert store.problems == [
            Problem("shot00001_4", "failed", "cannot decode"),
            Problem("shot00002_1", "failed", "cannot decode"),
            Problem("shot00010_1", "partial", "1 of 2 frames"),
        ]
        assert store.manifest["counts"] == {"ok": 17, "partial": 1, "failed": 2}
        assert store.ids == tuple(shot for shot in SHOTS.ids if shot not in source.failed)
        require_few_failures([store], 0.1)
        with pytest.raises(TooManyFailuresError) as caught:
            require_few_failures([store], 0.05)
        assert caught.value.exit_code == 1
        assert caught.value.what == "2 of 20 shots failed" and caught.value.wanted == "at most 5.0%"
        assert str(caught.value.got).startswith("shot00001_4: ") and str(caught.value.next_step).endswith(" 0.1")


def test_what_is_counted_of_shots_is_summed_in_every_store_however_often_a_run_was_killed(
    clip: ImageEncoder, tmp_path: Path
) -> None:
    source = FakeFrames(failed={"shot00001_4"}, tally={"odd": 2, "even": 0})
    for broken in ("shot00001_7", "shot00010_2"):
        with pytest.raises(VideoError):
            run(clip, tmp_path, replace(source, broken=broken))
    for store in run(clip, tmp_path, source, workers=1):
        assert store.manifest["counts"] == {"ok": 19, "partial": 0, "failed": 1, "even": 0, "odd": 40}
        require_few_failures([store], 0.05)  # a twentieth of the shots, whatever else is counted
        with pytest.raises(TooManyFailuresError, match="1 of 20 shots failed"):
            require_few_failures([store], 0.04)


def test_a_collection_of_which_nothing_decodes_is_an_error(clip: ImageEncoder, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="all 20 shots failed"):
        run(clip, tmp_path, FakeFrames(failed=set(SHOTS.ids)))


def test_several_models_in_one_pass_are_as_in_passes_of_their_own(
    checkpoints: dict[str, Path], clip: ImageEncoder, tmp_path: Path
) -> None:
    blip = load_embedder("blip", weights=checkpoints["blip"])
    together = FakeFrames()
    targets = [target(clip, tmp_path / "together/clip"), target(blip, tmp_path / "together/blip")]
    extract(SHOTS, together, targets, batch_size=4)
    assert [shot for _, shots in together.asked for shot in shots] == list(SHOTS.ids), "a shot was decoded twice"
    run(clip, tmp_path / "apart/clip")
    run(blip, tmp_path / "apart/blip")
    assert content(tmp_path / "together") == content(tmp_path / "apart")


def test_frame_stores_keep_every_query_and_score_as_the_model(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    each = load_embedder("blip2", weights=checkpoints["blip2"], pooling="queries")
    source = FakeFrames()
    (store,) = extract(SHOTS, source, [target(each, tmp_path, ["frame"], "float32")], batch_size=4)
    shot = SHOTS.get("shot00001_1")
    frames = source.frames(shot)
    assert store.frames(shot.id).shape == (len(frames.data) * QUERIES, DIM)
    assert store.pts_s is not None and store.offsets is not None
    np.testing.assert_array_equal(store.pts_s[: store.offsets[1]], np.repeat(frames.pts_s, QUERIES))
    texts = each.encode_texts(["a man"])
    expected = (each.encode_images(each.preprocess(frames.data)) @ texts.T).max()
    np.testing.assert_allclose((store.frames(shot.id) @ texts.T).max(), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="keeps several vectors per frame"):
        target(each, tmp_path, ["shot"])


class Broken:
    """An embedder whose vectors go wrong after some images."""

    def __init__(self, embedder: ImageEncoder, value: float) -> None:
        self.spec, self.preprocessing, self._embedder, self._value = (
            embedder.spec,
            embedder.preprocessing,
            embedder,
            value,
        )
        self.preprocess, self.encode_texts = embedder.preprocess, embedder.encode_texts
        self.batches = 0

    def encode_images(self, images: Any) -> np.ndarray:
        self.batches += 1
        vectors = self._embedder.encode_images(images)
        return vectors * self._value if self.batches > 6 else vectors


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "features that are not finite"), (0.0, "a feature vector is all zero")]
)
def test_features_that_cannot_be_used_are_an_error_that_names_the_shot(
    clip: ImageEncoder, tmp_path: Path, value: float, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        run(Broken(clip, value), tmp_path)
    assert caught.value.where in SHOTS.ids
    run(clip, tmp_path)  # what was finished before stands, and the rest follows


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_in_any_order_make_the_store(clip: ImageEncoder, tmp_path: Path, workers: int) -> None:
    run(clip, tmp_path / "whole")
    for number in (2, 0):
        for store in run(clip, tmp_path / "shards", shard=Shard(number, 3), workers=workers):
            assert isinstance(store, UnfinishedStore) and "left for other shards" in str(store)
    assert all(isinstance(one, FeatureStore) for one in run(clip, tmp_path / "shards", shard=Shard(1, 3)))
    assert content(tmp_path / "shards") == content(tmp_path / "whole")


def test_a_shard_of_another_table_is_refused_with_both(clip: ImageEncoder, tmp_path: Path) -> None:
    run(clip, tmp_path, shard=Shard(0, 2))
    fewer = table({"00001": 9, "00002": 1, "00003": 2, "00010": 7})
    with pytest.raises(ChangedInputsError, match="other inputs or settings") as caught:
        extract(fewer, FakeFrames(), [target(clip, tmp_path)], batch_size=4, shard=Shard(1, 2))
    assert "shots of the table 19" in str(caught.value.got) and "shots of the table 20" in str(caught.value.wanted)


def test_a_store_that_another_process_finished_meanwhile_is_taken(
    clip: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clip, tmp_path / "whole")
    join = SharedWriter.join

    def late(writer: SharedWriter, *args: Any, **options: Any) -> StoreParts:
        monkeypatch.setattr(SharedWriter, "join", join)
        run(clip, tmp_path / "made")
        return join(writer, *args, **options)

    def load(batches: ImageBatches, *, workers: int, **options: Any) -> Generator[ImageBatch | JobAgain]:
        asked.append(workers)
        return load_batches(batches, workers=workers, **options)

    asked: list[int] = []
    monkeypatch.setattr(SharedWriter, "join", late)
    monkeypatch.setattr(loop, "load_batches", load)
    source = FakeFrames()
    assert all(isinstance(one, FeatureStore) for one in run(clip, tmp_path / "made", source, workers=2))
    assert asked == [0, 0], "workers are started for nothing"
    assert source.asked == [] and not list(tmp_path.glob("made/*/parts"))
    assert content(tmp_path / "made") == content(tmp_path / "whole")


def test_only_the_stores_that_a_process_claimed_are_encoded(
    checkpoints: dict[str, Path], clip: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blip = load_embedder("blip", weights=checkpoints["blip"])
    run(clip, tmp_path / "clip", shard=Shard(0, 2))
    encode, images = ImageEncoder.encode_images, {clip: 0, blip: 0}

    def counted(embedder: ImageEncoder, batch: Any) -> np.ndarray:
        images[embedder] += len(batch)
        return encode(embedder, batch)

    monkeypatch.setattr(ImageEncoder, "encode_images", counted)
    targets = [target(clip, tmp_path / "clip"), target(blip, tmp_path / "blip")]
    stores = extract(SHOTS, FakeFrames(), targets, batch_size=4)
    assert images[blip] == len(stores[1].vectors) > images[clip] > 0
    run(clip, tmp_path / "whole")
    assert content(tmp_path / "clip") == content(tmp_path / "whole")


def test_two_workers_that_do_one_job_for_different_stores_do_not_mix(
    clip: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clip, tmp_path / "whole")
    load = loop.load_batches

    def twice(batches: Any, **options: Any) -> Any:
        for batch in load(batches, **options):
            assert batch.stores == (0, 1)
            yield from (replace(batch, stores=(0,)), replace(batch, stores=(1,)))

    monkeypatch.setattr(loop, "load_batches", twice)
    run(clip, tmp_path / "twice")
    assert content(tmp_path / "twice") == content(tmp_path / "whole")


def test_a_store_keeps_the_frames_that_are_farthest_apart(clip: ImageEncoder, tmp_path: Path) -> None:
    source = FakeFrames(failed={"shot00001_2"}, tally={"seen": 1})
    levels = ("keep:2", "frame", "keep:9")
    two, every, nine = extract(SHOTS, source, [target(clip, tmp_path, levels, dtype="float32")], batch_size=4)
    assert [store.folder.name for store in (two, nine)] == ["keep-2", "keep-9"]
    assert two.manifest["config"]["keep"] == 2 and two.level == "frame"
    fewer = 0
    for shot in every.ids:
        rows, place = every.frames(shot), every.ids.index(shot)
        assert every.offsets is not None and every.pts_s is not None
        times_s = every.pts_s[every.offsets[place] : every.offsets[place + 1]]
        places = farthest_apart(rows, 2)
        np.testing.assert_array_equal(two.frames(shot), rows[places])
        np.testing.assert_array_equal(nine.frames(shot), rows)
        assert two.pts_s is not None and set(times_s[places]) <= set(two.pts_s)
        fewer += len(rows) > len(places)
    assert fewer > 5 and two.manifest["counts"]["seen"] == len(SHOTS)


def test_an_encoder_that_loses_a_frame_is_noticed(clip: ImageEncoder, tmp_path: Path) -> None:
    class Losing(Broken):
        def encode_images(self, images: Any) -> np.ndarray:
            return super().encode_images(images)[:3]

    with pytest.raises(DataError, match="frames and vectors differ in number") as caught:
        extract(SHOTS, FakeFrames(), [target(Losing(clip, 1.0), tmp_path, ["shot"])], batch_size=4)
    assert caught.value.where == "shot00001_1 to shot00001_4"


def test_batch_size_must_be_positive(clip: ImageEncoder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch size"):
        run(clip, tmp_path, batch_size=0)

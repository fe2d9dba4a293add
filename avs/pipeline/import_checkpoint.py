"""Make a checkpoint of weights that the authors of a model published, so that it searches as one trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from avs.core.artifacts import Manifest, fingerprint_content, is_up_to_date, require_path
from avs.core.bigfile import bigfile_spec
from avs.core.errors import ConfigError, Problems, typed
from avs.core.features import feature_name, open_features
from avs.core.list_files import model_name
from avs.core.progress import Reporter
from avs.core.spec import EmbedderSpec
from avs.core.text_files import read_text
from avs.features.catalog import read_catalog
from avs.features.embedder import read_spec
from avs.features.preprocess import Geometry, Preprocessing, write_preprocessing
from avs.features.text import TextFeature
from avs.features.text.bag_of_words import BagOfWords
from avs.features.text.clip_tokens import ClipTokens, ClipTokensOptions
from avs.features.text.encoder import EncoderText
from avs.features.text.word2vec import Word2Vec
from avs.features.text.word_ids import WordIds
from avs.features.word_vectors import fingerprint_word_vectors
from avs.features.words import MARKS, STOP_WORDS, Vocabulary
from avs.models.architectures import architectures, config_to_json, make_config, make_model
from avs.models.importers import ForeignWeights, Imported, TextInput, importers
from avs.models.retrieval import RetrievalModel
from avs.pipeline.chosen_frames import sampling_of
from avs.pipeline.train.backbone import TOKENIZER, catalog_folder, own_frames_spec, save_backbone
from avs.pipeline.train.texts import model_inputs
from avs.train.checkpoint import BACKBONE, CHECKPOINT_TYPE, Checkpoint, write_checkpoint
from avs.train.frame_choice import FrameChoice
from avs.train.weights import load_weights, read_foreign_weights


@dataclass(frozen=True, slots=True)
class FramesRead:
    """Which frames of a video the authors' training read, where it was not as their scripts are; None: as they are.

    Attributes:
        fps: frames a second, of which as many as `max_frames` are chosen; 1 in the scripts.
        policy, order: how they are chosen, and how they follow each other, as FrameChoice takes them; "linspace" and
            "normal" in the scripts.
    """

    fps: float | None = None
    policy: str | None = None
    order: str | None = None

    def sampling(self, max_frames: int, usual_fps: float | None) -> dict[str, Any]:
        """What a checkpoint records, see Checkpoint.

        Args:
            usual_fps: that of the authors' scripts; None: they differ.

        Raises:
            ConfigError: values that are out of range or unknown, or no frames a second.
        """
        fps = usual_fps if self.fps is None else self.fps
        if fps is None:
            raise ConfigError(
                "the weights do not show how many frames a second they read, and the authors' scripts differ",
                next_step="--fps N; docs/import.md has the rates of the released weights",
            )
        if not fps > 0:
            raise ConfigError("--fps must be positive", got=fps)
        choice = FrameChoice(max_frames, self.policy or "linspace", self.order or "normal")
        return sampling_of(fps, choice.in_test)


@dataclass(frozen=True, slots=True)
class ImportSources:
    """What is imported, and what the weights alone do not hold.

    Attributes:
        weights: state dict of the authors.
        vocabularies: "bow", "gru" or "bigru" -> file with a word per line, in the order of the authors' numbers.
        word2vec: file or BigFile of the word vectors.
        stop_words: file with the stop words that the authors leave out of word2vec; None: those of avs.
        text_encoder: catalog name of the encoder of the CLIP text vectors.
        text_encoder_weights: its weights; None: what the catalog says.
        stores: name of a video feature in the weights -> store that holds it; otherwise a BigFile of that name does.
        tokenizer: folder of a tokenizer of CLIP, or catalog name of a CLIP.
        options: options of the architecture that the weights do not show.
        frames: of weights that read pixels: which frames of a video they were trained on.
    """

    weights: Path
    vocabularies: Mapping[str, Path] = field(default_factory=dict)
    word2vec: Path | None = None
    stop_words: Path | None = None
    text_encoder: str | None = None
    text_encoder_weights: str | None = None
    stores: Mapping[str, Path] = field(default_factory=dict)
    tokenizer: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    frames: FramesRead = FramesRead()


def import_checkpoint(
    architecture: str, sources: ImportSources, out: Path, *, force: bool = False, reporter: Reporter
) -> dict[str, Any]:
    """Write the checkpoint folder `out`.

    Returns:
        Its path, with the video and text features it reads; or "up_to_date".

    Raises:
        ConfigError: no importer for the architecture; an option, vocabulary or encoder that is missing or does not fit.
        FormatError: the file holds more than tensors, or tensors that do not match on either side.
    """
    importer = importers.get(architecture)
    if (out / "best").is_dir():
        raise ConfigError("a training is in the way", where=out, next_step="choose another -o")
    specs = {name: open_features(store) for name, store in sources.stores.items()}
    manifest = _manifest(architecture, sources)
    if is_up_to_date(out, manifest, force=force, reporter=reporter):
        return {"path": str(out), "up_to_date": True}
    names = {name: feature_name(store).removesuffix("/frame") for name, store in specs.items()}
    if sources.text_encoder:
        names["CLIP"] = sources.text_encoder
    theirs = ForeignWeights(read_foreign_weights(sources.weights, to_tensors=importer.to_tensors))
    imported = importer.convert(theirs, names, sources.options)
    _require_as_shown(imported, sources.options)
    given = {feature_name(store): store.spec for store in specs.values()}
    reads_pixels = 0 in imported.video_frames.values()
    if reads_pixels:
        imported = replace(imported, video_frames={f"{model_name(out)}/frame": 0})
    _require_inputs(sources, given, reads_pixels=reads_pixels)
    texts = _text_features(imported.text, sources)
    model, config = _model(architecture, imported, texts, sources)
    sampling = sources.frames.sampling(config.max_frames, importer.fps) if reads_pixels else {}
    video = _own_frames(model, config, sources, out) if reads_pixels else _video_specs(imported, given)
    checkpoint = Checkpoint(
        architecture=architecture,
        config=config_to_json(config),
        video_features=video,
        text_features=[feature.to_json() for feature in texts],
        epoch=0,
        measures={},
        validation={"imported from": sources.weights.name},
        sampling=sampling,
        folder=out,
    )
    write_checkpoint(checkpoint, model.state_dict(), manifest)
    for line in imported.left_out:
        reporter.say(f"left out: {line}")
    reporter.say(f"wrote {out}: {', '.join(checkpoint.video_features)}; text {', '.join(f.name for f in texts)}")
    if reads_pixels:
        reporter.suggest(f"avs extract-features --videos VIDEOS --shots SHOTS --model {typed(out)} -o FEATURES")
    return {"path": str(out), "video": list(checkpoint.video_features), "text": [feature.name for feature in texts]}


def _require_as_shown(imported: Imported, stated: Mapping[str, Any]) -> None:
    """Check that options are not other than the weights'.

    Raises:
        ConfigError: they are.
    """
    problems = Problems("options that the weights decide")
    for name, value in stated.items():
        if name in imported.options and imported.options[name] != value:
            problems.add(f"--option {name}", f"got {value}, but it is {imported.options[name]}")
    problems.raise_if_any(ConfigError)


def _require_inputs(sources: ImportSources, given: Mapping[str, EmbedderSpec], *, reads_pixels: bool) -> None:
    """Check that stores are given only for weights that read them, and choices of frames for those that read frames.

    Raises:
        ConfigError: they are not.
    """
    if reads_pixels and given:
        raise ConfigError(
            "no store can hold a video feature of these weights yet: the encoder of the frames is in the file",
            got=f"--feature with {', '.join(given)}",
            next_step="import without --feature, then make the store with the checkpoint",
        )
    if not reads_pixels and sources.frames != FramesRead():
        raise ConfigError(
            "--fps, --frame-policy and --frame-order are for weights that read the frames of videos",
            next_step="leave them out",
        )


def _model(
    architecture: str, imported: Imported, texts: Sequence[TextFeature], sources: ImportSources
) -> tuple[RetrievalModel, Any]:
    """The model with its weights, and its config."""
    inputs = {"video": imported.video, "video_frames": imported.video_frames, **model_inputs(texts)}
    known = architectures.get(architecture).inputs
    read = {name: value for name, value in inputs.items() if name in known or value}
    config = make_config(architecture, {**sources.options, **imported.options, **read})
    model = make_model(architecture, config)
    load_weights(model, imported.weights, where=sources.weights)
    return model.eval(), config


def _own_frames(model: RetrievalModel, config: Any, sources: ImportSources, out: Path) -> dict[str, EmbedderSpec]:
    """Keep the CLIP of the weights in the checkpoint. Returns the spec of frames as its tower gives them, by name."""
    save_backbone(model, _tokenizer_folder(sources), out, files=TOKENIZER)
    geometry = Geometry(config.image_size, config.image_size, "bicubic")
    write_preprocessing(out / BACKBONE, Preprocessing(geometry, config.image_mean, config.image_std))
    return {config.video_name: own_frames_spec(out, model_name(out))}


def _manifest(architecture: str, sources: ImportSources) -> Manifest:
    inputs = {"weights": fingerprint_content(sources.weights)}
    inputs |= {f"vocabulary of {name}": fingerprint_content(path) for name, path in sources.vocabularies.items()}
    paths: dict[str, Path] = {"weights": sources.weights}
    if sources.word2vec:
        inputs["word vectors"] = fingerprint_word_vectors(sources.word2vec)
    if sources.stop_words:
        inputs["stop words"] = fingerprint_content(sources.stop_words)
    if sources.text_encoder:
        inputs["text encoder"] = _encoder(sources).revision
    if sources.tokenizer:
        options = ClipTokensOptions(kind="clip-tokens", tokenizer=_tokenizer_folder(sources))
        inputs |= options.inputs()
    config: dict[str, Any] = {
        "architecture": architecture,
        "options": dict(sources.options),
        "text_encoder": sources.text_encoder,
        "stores": {name: str(path) for name, path in sources.stores.items()},
    }
    if architectures.get(architecture).backbone:
        config["frames"] = asdict(sources.frames)
    return Manifest(type=CHECKPOINT_TYPE, config=config, inputs=inputs, paths=paths)


def _encoder(sources: ImportSources) -> EmbedderSpec:
    assert sources.text_encoder is not None
    return read_spec(sources.text_encoder, weights=sources.text_encoder_weights)


def _video_specs(imported: Imported, given: Mapping[str, EmbedderSpec]) -> dict[str, EmbedderSpec]:
    """The spec of each video feature: of the store that was given, or of a BigFile of its name."""
    dims = {**imported.video, **imported.video_frames}
    problems = Problems("stores that do not fit the weights")
    for name, spec in given.items():
        if name not in dims:
            problems.add(name, f"is no video feature of the weights, which read {', '.join(dims)}")
        elif spec.dim != dims[name]:
            problems.add(name, f"has {spec.dim} dimensions, wanted {dims[name]}")
    problems.raise_if_any(ConfigError)
    return {name: given.get(name, bigfile_spec(name.removesuffix("/frame"), dim)) for name, dim in dims.items()}


def _text_features(inputs: Sequence[TextInput], sources: ImportSources) -> list[TextFeature]:
    """The text features as the authors compute them.

    Raises:
        ConfigError: something that they are made from is missing, not asked for, or of another size; all at once.
    """
    problems, features = Problems("text features of the weights"), []
    kinds = {one.kind for one in inputs}
    for name in sources.vocabularies.keys() - kinds:
        problems.add(f"--vocabulary {name}", f"the weights read no {name}; they read {', '.join(sorted(kinds))}")
    for option, kind in SOURCE_OF.items():
        if getattr(sources, option) is not None and kind not in kinds:
            problems.add(f"--{option.replace('_', '-')}", f"the weights read no {kind}")
    for one in inputs:
        try:
            features.append(MAKERS[one.kind](one, sources))
        except ConfigError as error:
            problems.add(one.name, error.what)
    problems.raise_if_any(ConfigError)
    return features


def _bag_of_words(one: TextInput, sources: ImportSources) -> TextFeature:
    words = _words(one, sources)
    # without a stop word among the words it changes nothing to skip them, and they are not reported as unknown
    return BagOfWords("bow", Vocabulary(words, remove_stop_words=STOP_WORDS.isdisjoint(words)), legacy=True)


def _word_ids(one: TextInput, sources: ImportSources) -> TextFeature:
    words = _words(one, sources)
    lacking = [mark for mark in MARKS if mark not in words]
    if lacking:
        raise ConfigError(f"its vocabulary lacks {', '.join(lacking)}")
    known = Vocabulary(words, start_end=True)
    return WordIds(one.name, known, one.embedding, one.hidden, bidirectional=one.kind == "bigru")


def _word2vec(one: TextInput, sources: ImportSources) -> TextFeature:
    if sources.word2vec is None:
        raise ConfigError("its word vectors are not given: --word2vec")
    stop_words = read_text(sources.stop_words).split() if sources.stop_words else None
    feature = Word2Vec("word2vec", sources.word2vec, stop_words=stop_words, legacy=True)
    if feature.dim != one.dim:
        raise ConfigError(f"the word vectors have {feature.dim} dimensions, wanted {one.dim}")
    return feature


def _encoder_text(one: TextInput, sources: ImportSources) -> TextFeature:
    if sources.text_encoder is None:
        raise ConfigError("its encoder is not given: --text-encoder, such as clip-vit-b32")
    spec = _encoder(sources)
    if spec.dim != one.dim:
        raise ConfigError(f"{spec.name} has {spec.dim} dimensions, wanted {one.dim}")
    return EncoderText(spec, weights=sources.text_encoder_weights, unit_length=False)


def _clip_tokens(one: TextInput, sources: ImportSources) -> TextFeature:
    if sources.tokenizer is None:
        raise ConfigError("its tokenizer is not given: --tokenizer FOLDER, or a CLIP such as clip-vit-b32")
    feature = ClipTokens(one.name, _tokenizer_folder(sources), max_words=one.length)
    if feature.dim != one.dim:
        raise ConfigError(f"the tokenizer {feature.folder} has {feature.dim} words, wanted {one.dim}")
    if feature.tokenizer.eos_token_id != one.dim - 1:
        got = feature.tokenizer.eos_token_id
        raise ConfigError(f"the end token of {feature.folder} is {got}, wanted the last of its words, {one.dim - 1}")
    return feature


def _tokenizer_folder(sources: ImportSources) -> Path:
    """The folder of the tokenizer; of a name of the catalog, that of its weights."""
    assert sources.tokenizer is not None
    if sources.tokenizer not in read_catalog():
        return require_path(Path(sources.tokenizer), what="folder of a tokenizer")
    return catalog_folder(sources.tokenizer, option="--tokenizer")


SOURCE_OF = {
    "word2vec": "word2vec",
    "stop_words": "word2vec",
    "text_encoder": "encoder",
    "tokenizer": "clip-tokens",
}  # field of ImportSources -> kind of the text features that are made from it
MAKERS = {
    "clip-tokens": _clip_tokens,
    "bow": _bag_of_words,
    "gru": _word_ids,
    "bigru": _word_ids,
    "word2vec": _word2vec,
    "encoder": _encoder_text,
}


def _words(one: TextInput, sources: ImportSources) -> tuple[str, ...]:
    """The words of a vocabulary file."""
    path = sources.vocabularies.get(one.kind)
    if path is None:
        raise ConfigError(f"its vocabulary is not given: --vocabulary {one.kind}=FILE")
    words = tuple(read_text(path).split("\n"))
    words = words[:-1] if words[-1] == "" else words
    if len(words) != one.dim:
        raise ConfigError(f"{path} has {len(words)} words, wanted {one.dim}, one per line")
    if len(set(words)) < len(words):
        raise ConfigError(f"{path} has words that occur twice")
    return words

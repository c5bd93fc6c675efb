"""Voice recipes: cross-validated by speaker, then trained on all speakers.

The figures of the manifest are those of the cross-validation, since nobody is left that the shipped network has not
heard; the accuracy that its epochs tell is that on what they learn from. Each fold is an ordinary run in a folder of
its own, so that all can go on after a kill.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from moodreel.flows import progress
from moodreel.flows.training_facts import describe_clips, describe_run
from moodreel.flows.training_order import TrainingOrder
from moodreel.flows.training_record import RecordedRun, only_training_in
from moodreel.schemas.config import SoundConfig
from moodreel.schemas.labels import NUM_LABELS
from moodreel.schemas.manifest import Manifest, MfccInput, SoundInput
from moodreel.schemas.training import Mfccs, SoundFeatures, TrainingConfig
from moodreel.tasks.acoustics import NUM_FEATURES
from moodreel.tasks.learning.baselines import BASELINES, judge_with
from moodreel.tasks.learning.calibration import calibrate
from moodreel.tasks.learning.clip_examples import (
    ClipRows,
    clip_probabilities,
    learning_examples,
    plain_examples,
    read_clip_rows,
)
from moodreel.tasks.learning.clips import LabelledClips, digest_clips, read_labelled_clips
from moodreel.tasks.learning.examples import Examples, VectorExamples
from moodreel.tasks.learning.export import write_manifest, write_weights
from moodreel.tasks.learning.folds import Fold, VoiceScores, cross_validate, score_corpora, speaker_folds
from moodreel.tasks.learning.identity import identify_run
from moodreel.tasks.learning.labelled import refuse_missing_classes
from moodreel.tasks.learning.recipes import RECIPES
from moodreel.tasks.learning.train import EpochMetrics, Trained, predict, train_classifier

_PLAIN = SoundFeatures.model_validate({"augmentation": {"num_copies": 0}})  # what the baselines learn from
Judged = tuple[NDArray[np.float32], NDArray[np.float32]]  # (n, 7) of the clips, (m, 7) of their rows


def train_voice(order: TrainingOrder) -> None:
    """Cross-validate a voice recipe, train it on all speakers, and write weights and manifest to the run's folder.

    Raises:
        ValueError: the data can't be used, there are weights to start from, or another process trains in the folder.
        FloatingPointError: a run diverged; its folder keeps its last whole epoch.
    """
    config, data, out, model = order.config, order.data, order.out, order.model
    if order.init is not None:
        raise ValueError(
            f"{model} is measured on speakers never heard, whom the weights of --init may know: leave it out"
        )
    clips = read_labelled_clips(data)
    refuse_missing_classes(clips.labels, data, "clip")
    progress.tell_skipped(clips.skipped, "clips", data)
    identity = identify_run(out, config, digest_clips(clips), order.resume)
    folds, everyone = speaker_folds(clips), np.arange(len(clips.labels))
    with only_training_in(out):  # the folds too have their runs there
        rows = _rows(model, clips, config, out)
        of_clips, of_rows = judge_folds(model, config, clips, folds, rows, out)
    learning, plain = _learning(rows, clips, everyone, config), plain_examples(rows, clips, everyone)

    def export(trained: Trained) -> Manifest:
        heard = rows.is_heard[rows.copies == 0]
        facts = _facts(clips, score_corpora(clips, of_clips), of_rows[heard], plain.labels[heard])
        facts |= describe_clips(clips.corpora, config)
        facts["input"] = _describe_input(config, len(learning.labels))
        # `evaluate` knows the recipe and not its changes; training measures by the same folds
        by_recipe = f"moodreel evaluate {order.recipe} --folds speaker --data {data.name}"
        facts["measured_with"] = order.command if order.changes else by_recipe
        facts["training"] = describe_run(order, trained.history)
        facts["version"] = str(len(facts["training"]))
        write_weights(trained.network, model, out)
        return write_manifest(trained.network, config, model, out, **facts)

    manifest = RecordedRun(order, identity).train(learning, plain, export)
    print(f"{manifest.model_id}: UAR {manifest.metrics['uar']:.4f}; {out}/{model}.toml", file=sys.stderr)


def read_voices(model: str, config: TrainingConfig, data: Path, out: Path) -> Examples:
    """Return what a voice recipe learns from, all speakers together.

    Raises:
        ValueError: the data can't be used.
    """
    clips = read_labelled_clips(data)
    refuse_missing_classes(clips.labels, data, "clip")
    return _learning(_rows(model, clips, config, out), clips, np.arange(len(clips.labels)), config)


def evaluate_folds(recipes: Sequence[str], data: Path, runs: Path) -> dict[str, list[VoiceScores]]:
    """Return the scores by corpus of recipes and baselines, all on the same folds of speakers.

    Args:
        recipes: names of voice recipes and of `baselines.BASELINES`.
        data: labelled clips with speakers.
        runs: where each recipe has its folder of runs; what is there already is not done again.

    Raises:
        ValueError: a name is unknown or no voice recipe, the data can't be used, or another process trains there.
    """
    configs = {name: _find(name) for name in recipes}
    clips = read_labelled_clips(data)
    folds = speaker_folds(clips)
    found = {}
    for name, config in configs.items():
        out = runs / (name if config else "baselines")
        with only_training_in(out):
            rows = _rows(name, clips, config, out)
            found[name] = score_corpora(clips, judge_folds(name, config, clips, folds, rows, out)[0])
    return found


def judge_folds(
    name: str, config: TrainingConfig | None, clips: LabelledClips, folds: Sequence[Fold], rows: ClipRows, out: Path
) -> Judged:
    """Return what networks that never heard a speaker say of all clips, and of their rows as they are.

    Args:
        name: of the baseline, or of the model for the progress.
        config: the recipe; None is a baseline.
        clips: all of them.
        folds: who is learnt from and who is judged.
        rows: what the clips sound like.
        out: where each fold has its run.
    """
    plain = np.flatnonzero(rows.copies == 0)
    of_rows = np.zeros((len(plain), NUM_LABELS), np.float32)
    owners = rows.clips[plain]

    def judge(number: int, fold: Fold) -> NDArray[np.float32]:
        measure = plain_examples(rows, clips, fold.measure)
        if config is None:
            probabilities = judge_with(name, _learning(rows, clips, fold.learn, None), measure)
        else:
            probabilities = _train_fold(name, number, fold, clips, rows, config, out)
        of_rows[np.isin(owners, fold.measure)] = probabilities
        return clip_probabilities(rows, fold.measure, probabilities)

    return cross_validate(clips, list(folds), judge), of_rows


def _train_fold(
    name: str, number: int, fold: Fold, clips: LabelledClips, rows: ClipRows, config: TrainingConfig, out: Path
) -> NDArray[np.float32]:
    learn, measure = _learning(rows, clips, fold.learn, config), plain_examples(rows, clips, fold.measure)
    digest = blake3(f"{config.model_dump_json()} {digest_clips(clips)} {fold.measure.tolist()}".encode())
    folder = out / f"fold-{number + 1}-{digest.hexdigest(length=8)}"
    with progress.steps(f"{name}, fold {number + 1}") as (done, say):

        def on_epoch(history: Sequence[EpochMetrics]) -> None:
            if len(history) == config.num_epochs:
                say(f"fold {number + 1}: {history[-1].accuracy:.4f} of the windows of speakers never heard")

        trained = train_classifier(config, learn, measure, folder, resume=True, on_epoch=on_epoch, on_step=done)
    return predict(trained.network, measure, config)


def _find(name: str) -> TrainingConfig | None:
    """Return a voice recipe's configuration, None for a baseline."""
    if name in BASELINES:
        return None
    config = RECIPES[name]() if name in RECIPES else None
    if config is None or config.sound is None:
        known = [recipe for recipe, make in RECIPES.items() if make().sound]
        raise ValueError(f"no voice recipe {name!r}; there are: {', '.join([*known, *BASELINES])}")
    return config


def _rows(name: str, clips: LabelledClips, config: TrainingConfig | None, out: Path) -> ClipRows:
    sound, seed = (config.sound, config.seed) if config else (_PLAIN, 0)
    assert sound is not None
    with progress.steps(f"{name}: sound") as (done, say):
        say(f"{name}: what {len(clips.labels)} clips sound like, read once and kept in {out}")
        return read_clip_rows(clips, sound, out, seed, done)


def _learning(
    rows: ClipRows, clips: LabelledClips, chosen: NDArray[np.int64], config: TrainingConfig | None
) -> VectorExamples:
    return learning_examples(rows, clips, chosen, joint=config is not None and isinstance(config.sound, Mfccs))


def _describe_input(config: TrainingConfig, num_windows: int) -> SoundInput | MfccInput:
    if isinstance(config.sound, Mfccs):
        return MfccInput.model_validate(config.sound.model_dump(exclude={"kind", "augmentation"}))
    assert config.sound is not None
    return SoundInput(
        feature_set="IS10",
        length=NUM_FEATURES,
        window_s=SoundConfig().window_s,
        min_speech_share=config.sound.min_speech_share,
        standardised_over=num_windows,
    )


def _facts(
    clips: LabelledClips, scores: list[VoiceScores], of_rows: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Return what a manifest says; the temperature is that of single windows, since they are what a run classifies."""
    calibration, whole = calibrate(of_rows, labels), scores[-1]
    metrics = {f"{one.corpus}_uar": one.uar for one in scores[:-1]} | {
        "uar": whole.uar,
        "accuracy": whole.accuracy,
        "macro_f1": whole.macro_f1,
        "windows_ece": calibration.ece,
        "windows_ece_uncalibrated": calibration.ece_uncalibrated,
    }
    return {
        "temperature": round(calibration.temperature, 4),
        "metrics": {name: round(value, 4) for name, value in metrics.items()},
        "speakers": sorted(set(clips.speakers.tolist())),
        "per_class": {
            label: {name: round(float(row[name] or 0.0), 4) for name in ("precision", "recall", "f1")}
            for label, row in whole.per_class.items()
            if row["n"]
        },
    }

"""Measure a registered voice model on labelled clips, through the same code that analyses videos."""

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa

from moodreel.schemas.config import SoundConfig
from moodreel.tasks.acoustics import SoundAnalyst
from moodreel.tasks.learning.calibration import apply_temperature
from moodreel.tasks.learning.clips import LabelledClips
from moodreel.tasks.learning.evaluate import Evaluation, score
from moodreel.tasks.learning.metrics import calibration_error
from moodreel.tasks.voices import VoiceClassifier


def evaluate_voice(name: str, clips: LabelledClips) -> Evaluation:
    """Classify labelled clips and score the outcome.

    A clip's probabilities are the mean over its windows with speech; over all of them where none has enough.

    Raises:
        ValueError: no model has that name, or it takes no sound.
    """
    voice, analyst = VoiceClassifier(name), SoundAnalyst(SoundConfig())
    started = time.monotonic()
    verdicts, uncalibrated, temperature = [], [], voice.manifest.temperature
    for samples in clips.sounds:
        windows = pa.concat_tables(analyst.describe([samples]))
        features = np.stack(windows["features"].to_numpy(zero_copy_only=False)).astype(np.float32)
        probabilities = voice.probabilities(features)
        is_heard = windows["speech_share"].to_numpy() >= voice.manifest.sound_input().min_speech_share
        heard = probabilities[is_heard if is_heard.any() else slice(None)]
        verdicts.append(heard.mean(axis=0))
        uncalibrated.append(apply_temperature(heard, 1 / temperature).mean(axis=0))
    seconds = time.monotonic() - started
    probabilities = np.stack(verdicts)
    scores = score(name, clips, probabilities, seconds)
    ece = calibration_error(np.stack(uncalibrated), clips.labels)
    return Evaluation(replace(scores, temperature=temperature, ece_uncalibrated=ece), probabilities)

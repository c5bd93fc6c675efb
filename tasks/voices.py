"""Windows of sound to probabilities of the seven expressions."""

from typing import Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from moodreel.models.inference import load_network
from moodreel.models.registry import read_manifest
from moodreel.tasks.emotions import emotion_rows

_BATCH: Final = 16  # fixed and padded, so that a window's probabilities do not depend on its neighbours


class VoiceClassifier:
    """A registered voice model, loaded once."""

    def __init__(self, name: str) -> None:
        self.manifest = read_manifest(name)
        self._input = self.manifest.sound_input()
        self._network = load_network(self.manifest)

    def rows(self, windows: pa.Table) -> pa.Table:
        """Return a row of `voice_emotions` for each row of `audio_windows`, without the other key columns.

        Where there is too little speech, and so in silence, music or noise, probabilities and label are NULL.
        """
        features = np.stack(windows["features"].to_numpy(zero_copy_only=False)).astype(np.float32)
        is_open = windows["speech_share"].to_numpy() < self._input.min_speech_share
        return emotion_rows(self.probabilities(features), is_open).append_column("window_id", windows["window_id"])

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, 7) probabilities, in the order of LABELS, of (n, 1582) features."""
        found = np.zeros((len(features), len(self.manifest.labels)), np.float32)
        with torch.inference_mode():
            for first in range(0, len(features), _BATCH):
                chunk = features[first : first + _BATCH]
                batch = np.zeros((_BATCH, self._input.length), np.float32)
                batch[: len(chunk)] = chunk
                logits = self._network(torch.from_numpy(batch)) / self.manifest.temperature
                found[first : first + _BATCH] = logits.softmax(1).numpy()[: len(chunk)]
        ordered: NDArray[np.float32] = found[:, self.manifest.output_order()]
        return ordered

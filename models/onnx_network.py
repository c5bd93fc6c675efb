"""A network read from ONNX where torch is expected: voices, teachers."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moodreel.schemas.labels import NUM_LABELS


class OnnxNetwork(nn.Module):
    """Runs in OpenVINO on the CPU, wherever its inputs are; without gradients."""

    def __init__(self, run: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]], batch: int) -> None:
        """`run` takes full batches alone and gives the logits first."""
        super().__init__()
        self._run, self._batch = run, batch

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (n, 7) logits of n inputs, n of any size."""
        rows = inputs.detach().float().cpu().numpy()
        logits = np.zeros((len(rows), NUM_LABELS), np.float32)
        for first in range(0, len(rows), self._batch):
            chunk = rows[first : first + self._batch]
            batch = np.zeros((self._batch, *rows.shape[1:]), np.float32)
            batch[: len(chunk)] = chunk
            logits[first : first + self._batch] = self._run(batch)[0][: len(chunk)]
        return torch.from_numpy(logits).to(inputs.device)

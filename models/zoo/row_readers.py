"""The comparators LSTM and RNN of the GAN-SGDMA paper: a face is read row by row, from the top and from the bottom.

Each row of 48 grey values is one step of two recurrent layers (Hochreiter & Schmidhuber 1997; Elman 1990), each in both
directions (Schuster & Paliwal 1997); the upper layer's last states of both are classified. Read from the top alone
and classified by the mean of the states, they learnt next to nothing in a short trial.
"""

import torch
from torch import Tensor, nn

from moodreel.schemas.labels import NUM_LABELS

_ROW_PX = 48
_WIDTH = 128  # of each direction


def build_lstm(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained LSTM: (n, 3, h, 48) float32 to (n, 7) logits; colours are averaged."""
    width = _WIDTH // 8 if debug else _WIDTH
    return _RowReader(nn.LSTM(_ROW_PX, width, num_layers=2, batch_first=True, bidirectional=True), drop_rate)


def build_rnn(drop_rate: float = 0.0, debug: bool = False) -> nn.Module:
    """Return the untrained RNN with tanh: (n, 3, h, 48) float32 to (n, 7) logits; colours are averaged."""
    width = _WIDTH // 8 if debug else _WIDTH
    return _RowReader(nn.RNN(_ROW_PX, width, num_layers=2, batch_first=True, bidirectional=True), drop_rate)


class _RowReader(nn.Module):
    def __init__(self, reader: nn.RNNBase, drop_rate: float) -> None:
        super().__init__()
        self.reader = reader
        self.drop = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(2 * reader.hidden_size, NUM_LABELS)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.mean(1).contiguous()  # (n, h, 48)
        states: Tensor = self.reader(rows)[0]
        down, up = states[:, -1, : self.reader.hidden_size], states[:, 0, self.reader.hidden_size :]
        logits: Tensor = self.classifier(self.drop(torch.cat([down, up], 1)))
        return logits

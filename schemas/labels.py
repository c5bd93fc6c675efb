"""The seven apparent expressions, in the one order that tables, networks and reports share (FER2013's 0..6)."""

from typing import Final

LABELS: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NUM_LABELS: Final = len(LABELS)

"""Cut a video's open steps into the pieces that workers take."""

from collections.abc import Iterable

from moodreel.schemas.config import PictureConfig
from moodreel.schemas.values import StepKey, Unit, VideoFile, VideoInfo
from moodreel.tasks.decode import SEGMENT_S, cut_segments


def cut_units(
    file: VideoFile, info: VideoInfo, steps: Iterable[StepKey], config: PictureConfig, segment_s: float = SEGMENT_S
) -> list[Unit]:
    """Return the sound as one unit, first since it is long, and the picture as segments in order of time."""
    names = {key.step for key in steps}
    units = [Unit(file, None)] if names & {"audio_windows", "voice_emotions"} else []
    if names & {"faces", "face_emotions", "face_features"}:
        units += [Unit(file, segment) for segment in cut_segments(info, config.sample_fps, segment_s)]
    return units

"""Plan = what is wanted minus what is committed."""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass

from moodreel.models.registry import read_manifest
from moodreel.schemas.config import AnalysisConfig
from moodreel.schemas.values import StepKey, VideoFile


@dataclass(frozen=True, slots=True)
class VideoWork:
    """A video and the steps that it lacks."""

    file: VideoFile
    steps: frozenset[StepKey]


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of a run, and which files need none.

    Attributes:
        work: videos that lack steps.
        quarantined: paths of those that lack steps and have failed too often to be tried.
        num_skipped: how many files are done, hopeless, quarantined, or a copy of another one.
    """

    work: list[VideoWork]
    quarantined: list[str]
    num_skipped: int


def wanted_steps(config: AnalysisConfig) -> frozenset[StepKey]:
    """Return the steps that every video should have under these settings."""
    picture = config.picture.digest()
    steps = {StepKey("faces", picture, None)}
    manifests = [read_manifest(name) for name in config.face_models]
    steps |= {StepKey("face_emotions", picture, manifest.model_id) for manifest in manifests}
    if config.features:
        steps |= {StepKey("face_features", picture, each.model_id) for each in manifests if each.num_features}
    if config.sound is not None:
        sound = config.sound.digest()
        steps.add(StepKey("audio_windows", sound, None))
        steps |= {StepKey("voice_emotions", sound, read_manifest(name).model_id) for name in config.voice_models}
    return frozenset(steps)


def plan_videos(
    files: Iterable[VideoFile],
    wanted: Set[StepKey],
    committed: Mapping[str, Collection[StepKey]],
    hopeless: Collection[str],
    quarantined: Collection[str] = (),
) -> Plan:
    """Leave out what is committed, what can't or may not be tried, and all but the first path of each content."""
    work: list[VideoWork] = []
    refused: list[str] = []
    planned: set[str] = set()
    num_skipped = 0
    for file in files:
        missing = frozenset(wanted) - frozenset(committed.get(file.video_id, ()))
        if not missing or file.video_id in hopeless or file.video_id in planned:
            num_skipped += 1
            continue
        planned.add(file.video_id)
        if file.video_id in quarantined:
            num_skipped += 1
            refused.append(file.path)
        else:
            work.append(VideoWork(file, missing))
    return Plan(work, refused, num_skipped)

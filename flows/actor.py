"""The Ray actor: a VideoAnalyst that loads its networks when the worker starts."""

from collections.abc import Iterator

import ray

from moodreel.flows.crashes import die_of_crashes
from moodreel.schemas.config import AnalysisConfig
from moodreel.schemas.values import Part, Unit, UnitEnd, VideoFile, VideoInfo


@ray.remote(num_cpus=1)
class Analyst:
    """One processor's worth of analysis; pixels never leave it."""

    def __init__(self, config: AnalysisConfig) -> None:
        die_of_crashes()
        # imported here: torch belongs into the worker, not into the driver
        from moodreel.tasks.video import VideoAnalyst

        self._analyst = VideoAnalyst(config)
        self._analyst.setup()

    def ready(self) -> bool:
        """Answer once the networks are loaded."""
        return True

    def probe(self, file: VideoFile) -> VideoInfo:
        """See `VideoAnalyst.probe`."""
        return self._analyst.probe(file)

    def analyse(self, unit: Unit) -> Iterator[Part | UnitEnd]:
        """See `VideoAnalyst.analyse`."""
        yield from self._analyst.analyse(unit)

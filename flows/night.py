"""A run over a folder: discover, plan, analyse each video, commit; what both ways of running share."""

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from moodreel.flows.room import require_room
from moodreel.flows.upkeep import leave_tidy
from moodreel.flows.workers import Alone, Workers, start_workers
from moodreel.models.registry import DEFAULTS, checked_weights, picture_model, read_manifest
from moodreel.schemas.config import AnalysisConfig, NightRequest, PictureConfig, SoundConfig
from moodreel.schemas.reasons import COST_A_WORKER, LEFT, Reason, VideoError
from moodreel.schemas.values import Outcome, RunCounts, UnitEnd, VideoFile
from moodreel.tasks.discover import LOOKS_APART_S, check_unchanged, discover_videos
from moodreel.tasks.plan import VideoWork, plan_videos, wanted_steps
from moodreel.tasks.units import cut_units
from moodreel.warehouse.audit import record_access
from moodreel.warehouse.closing import closing_rows
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.lake import CatalogLostError, Lake
from moodreel.warehouse.leases import VIDEO, Leases
from moodreel.warehouse.records import (
    close_dead_runs,
    committed_steps,
    committed_steps_of,
    costly_contents,
    finish_run,
    hopeless_contents,
    known_contents,
    quarantined_contents,
    record_failure,
    record_sightings,
    register_models,
    start_run,
)
from moodreel.warehouse.staging import StagingArea, remove_abandoned
from moodreel.warehouse.tombstones import erased_among

ATTEMPTS = 3  # for what may be gone a moment later
BACK_OFF_S = 2.0  # before the second; doubled before the third
log = logging.getLogger("moodreel")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run reports; `video_seconds` is the length of the videos analysed."""

    run_id: str
    counts: RunCounts
    seconds: float
    video_seconds: float

    def as_dict(self) -> dict[str, object]:
        """Return what `moodreel run --json` prints."""
        counts = self.counts
        return {
            "run_id": self.run_id,
            "num_videos": counts.num_videos,
            "num_analysed": counts.num_analysed,
            "num_skipped": counts.num_skipped,
            "num_failed": counts.num_failed,
            "num_ignored": counts.num_ignored,
            "seconds": round(self.seconds, 3),
            "video_seconds": round(self.video_seconds, 3),
        }


@dataclass(slots=True)
class Tally:
    """What happened to the videos so far."""

    analysed: set[str] = field(default_factory=set)  # video ids
    skipped: set[str] = field(default_factory=set)  # video ids; another run did the work meanwhile
    failed: dict[str, VideoError] = field(default_factory=dict)  # by path
    left: dict[str, VideoError] = field(default_factory=dict)  # by path; for the next night
    quarantined: list[str] = field(default_factory=list)  # paths
    video_seconds: float = 0.0


class GivenUpError(RuntimeError):
    """The run ended before a video was done, through no fault of the video's; the next run takes it up."""


def analysis_config(request: NightRequest) -> AnalysisConfig:
    """Turn a request into settings of the analysis.

    Raises:
        ValueError: a model is unknown or takes no pictures, or features are asked for and none of the models has any.
    """
    named = [read_manifest(name) for name in dict.fromkeys(request.models)]
    faces = [manifest for manifest in named if manifest.task == "face"]
    faces = faces or [read_manifest(name) for name in DEFAULTS["face"]]
    for manifest in faces:
        picture_model(manifest)  # a night has nothing but pictures
    if request.features and not any(manifest.num_features for manifest in faces):
        names = ", ".join(manifest.name for manifest in faces)
        raise ValueError(f"--features: no deep features in {names}; `moodreel models` says which model has them")
    voices = [manifest for manifest in named if manifest.task == "voice"]
    if voices and not request.audio:
        raise ValueError(f"--no-audio leaves nothing for {voices[0].name} to hear: leave one of them out")
    voices = voices or [read_manifest(name) for name in DEFAULTS["voice"] if request.audio]
    for manifest in voices:
        manifest.sound_input()
    return AnalysisConfig(
        picture=PictureConfig(sample_fps=request.sample_fps, min_face_px=request.min_face_px, decoder=request.decoder),
        sound=SoundConfig() if request.audio else None,
        face_models=tuple(manifest.name for manifest in faces),
        voice_models=tuple(manifest.name for manifest in voices),
        features=request.features,
    )


class Night:
    """One run: opened, planned, worked off video by video, and closed whatever happens.

    A kill at any point leaves whole videos in the warehouse, a row in `runs` that says "running", and a staging folder;
    the next run corrects the one and removes the other. Several runs may work at once: each video is leased.
    """

    def __init__(self, request: NightRequest, run_id: str | None = None) -> None:
        """Open the warehouse.

        Raises:
            ValueError: no such folder, an unknown model or one that takes no pictures, weights that are not its
                manifest's, or a warehouse that can't be used.
        """
        self.request = request
        self.config = analysis_config(request)
        self.run_id = run_id or uuid.uuid4().hex
        self.tally = Tally()
        self._code_version = version("moodreel")
        self._started = time.monotonic()
        self._num_skipped = self._num_ignored = 0
        if not Path(request.folder).is_dir():
            raise ValueError(f"{request.folder} is no folder: name one that holds videos")
        seeing = [picture_model(read_manifest(name)).name for name in self.config.face_models]
        for name in dict.fromkeys((*self.config.models, *seeing)):  # before a warehouse is made that nothing could fill
            checked_weights(read_manifest(name))
        self.lake = Lake(Path(request.warehouse))
        self._workers: Workers | None = None
        self._staging: StagingArea | None = None
        self._aside: dict[str, VideoWork] = {}  # by video id: what another run holds
        self._costly: set[str] = set()  # video ids whose last attempt cost a worker
        self._one_alone = threading.Lock()
        self._alone: Alone | None = None
        self._is_given_up = False
        self._looked_at = self._started

    def __enter__(self) -> "Night":
        with ExitStack() as opened:
            opened.callback(self.lake.close)
            self._leases = opened.enter_context(Leases(self.lake, self.run_id))
            self._leases.take_run(self.run_id)
            close_dead_runs(self.lake, self._leases)
            remove_abandoned(self.lake.folder)
            record_access(self.lake.folder, "run", purpose=self.request.purpose, detail=f"run {self.run_id}")
            config = self.request.model_dump_json()
            start_run(self.lake, self.run_id, "nightly", config, self._code_version, self.request.purpose)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._opened:
            if self._workers:
                self._workers.close()
            if self._staging:
                self._staging.close()
            if kind is None:
                finish_run(self.lake, self.run_id, "completed", self.counts)
                leave_tidy(self.lake, self._leases)
            else:
                finish_run(self.lake, self.run_id, "failed", None)

    def plan(self) -> list[VideoWork]:
        """Find the videos and return those with open steps; refused ones become failures."""
        found = discover_videos(Path(self.request.folder), known_contents(self.lake))
        self._looked_at = time.monotonic()
        files = self._without_erased(found.files)
        record_sightings(self.lake, self.run_id, files)
        self._costly |= costly_contents(self.lake, "nightly")
        hopeless = hopeless_contents(self.lake, self._code_version)
        quarantined = quarantined_contents(self.lake, "nightly")
        for path, error in found.refused:
            if path in quarantined and path not in hopeless:
                self.tally.quarantined.append(path)
            elif path not in hopeless:
                record_failure(self.lake, self.run_id, path, None, error, attempt=1)
                self.tally.failed[path] = error
        planned = plan_videos(files, wanted_steps(self.config), committed_steps(self.lake), hopeless, quarantined)
        self.tally.quarantined += planned.quarantined
        self._num_skipped = planned.num_skipped + len(found.files) - len(files)
        self._num_skipped += len(found.refused) - len(self.tally.failed)
        self._num_ignored = found.num_ignored
        # the largest first: a long video begun last would leave the other workers idle at the end
        return sorted(planned.work, key=lambda work: -work.file.stamp.size_bytes)

    def _without_erased(self, files: list[VideoFile]) -> list[VideoFile]:
        """Leave out what was erased, before a row names it again."""
        erased = erased_among(self.lake, {file.video_id for file in files})
        kept = [file for file in files if file.video_id not in erased]
        if erased:
            log.warning("%d files left out: their videos, or people in them, were erased", len(files) - len(kept))
        return kept

    def start_workers(self) -> int:
        """Load the networks; return how many videos may be in work at once."""
        self._staging = StagingArea(Path(self.request.warehouse), self.run_id)
        self._workers = start_workers(self.config, self.request.workers)
        register_models(self.lake, [read_manifest(name) for name in self.config.models])
        # one more than workers: while one video is committed another is analysed
        return self._workers.num_workers + (self.request.workers != 0)

    def analyse(self, work: VideoWork, attempt: int) -> None:
        """Take one video along its path, from probing to its commit; if another run holds it, put it aside.

        Raises:
            VideoError: it can't be analysed; the failure is recorded.
            NoRoomError, CatalogLostError, GivenUpError: the disk is full, the catalog gone, the run at its end; nothing
                is recorded against the video.
        """
        try:
            self._require_going_on(work)
            self._analyse_leased(work)
        except (GivenUpError, CatalogLostError):
            raise  # no fault of the video's
        except VideoError as error:
            self._require_going_on(work)
            self._record(work, error, attempt)
            raise
        except Exception as error:  # the one place where a crash becomes a row; the night goes on
            self._require_going_on(work)
            require_room(error, self.lake.folder)
            log.exception("%s", work.file.path)
            crash = VideoError(Reason.CRASH, f"{work.file.path}: {type(error).__name__}: {error}", "commit")
            self._record(work, crash, attempt)
            raise crash from error

    def give_up(self) -> None:
        """End the workers at once; what they have in work fails and is not recorded against a video."""
        self._is_given_up = True
        if self._workers:
            self._workers.close()
        if self._alone:
            self._alone.kill()

    def _require_going_on(self, work: VideoWork) -> None:
        if self._is_given_up:
            raise GivenUpError(f"{work.file.path}: the run ends before it is done")

    def freed(self) -> list[VideoWork]:
        """Wait for videos that were put aside; return those that nobody holds any more, none if none was put aside."""
        if not self._aside:
            return []
        log.warning("waiting for %d videos that another run works on", len(self._aside))
        free = self._leases.wait_for_any([VIDEO + video_id for video_id in self._aside])
        return [self._aside.pop(name.removeprefix(VIDEO)) for name in free]

    def has_put_aside(self, work: VideoWork) -> bool:
        """Say whether a video waits for another run to let it go."""
        return work.file.video_id in self._aside

    def _analyse_leased(self, work: VideoWork) -> None:
        video_id = work.file.video_id
        if not self._leases.take(VIDEO + video_id):
            self._aside[video_id] = work
            return
        try:
            # whoever held it before has committed by now what it did
            steps = work.steps - committed_steps_of(self.lake, video_id)
            done_here = bool(steps) and self._analyse(replace(work, steps=steps))
            (self.tally.analysed if done_here else self.tally.skipped).add(video_id)
            self.tally.failed.pop(work.file.path, None)
        finally:
            self._leases.release(VIDEO + video_id)

    def _analyse(self, work: VideoWork) -> bool:
        """Analyse and commit; say whether there was anything left to commit."""
        time.sleep(max(0.0, self._looked_at + LOOKS_APART_S - time.monotonic()))
        with self._workers_for(work) as workers:
            return self._analyse_with(workers, work)

    @contextmanager
    def _workers_for(self, work: VideoWork) -> Iterator[Workers]:
        """Give the workers, or a process for this video alone; one such at a time, since each loads the networks."""
        # a run that died may have died of the video; with Ray that would cost this one no more than an actor
        video_id = work.file.video_id
        is_suspect = self.request.workers == 0 and VIDEO + video_id in self._leases.abandoned
        if video_id not in self._costly and not is_suspect:
            assert self._workers
            yield self._workers
            return
        with self._one_alone, closing(Alone(self.config, self.request.isolation)) as self._alone:
            self._require_going_on(work)  # a run that is given up from now on ends this process too
            yield self._alone

    def _analyse_with(self, workers: Workers, work: VideoWork) -> bool:
        from moodreel.tasks.assemble import assemble_video  # numpy and trackers are loaded only where there is work

        assert self._staging
        started = time.monotonic()
        info = workers.probe(work.file)
        units = cut_units(work.file, info, work.steps, self.config.picture)
        staged = self._staging.video(work.file.video_id)
        try:
            ends = workers.analyse(units, staged.add)
            staged.close()
            check_unchanged(work.file)
            sound = next((end for unit, end in zip(units, ends, strict=True) if unit.segment is None), None)
            picture = [end for unit, end in zip(units, ends, strict=True) if unit.segment is not None]
            self._require_frames(work, staged.num_rows("frames"), picture)
            results = assemble_video(work, self.config, staged, picture, sound)
            if not commit_video(self.lake, self.run_id, work.file, info, results, time.monotonic() - started):
                return False
        finally:
            staged.remove()
        self.tally.video_seconds += info.duration_s or 0.0
        return True

    def _require_frames(self, work: VideoWork, num_frames: int, picture: list[UnitEnd]) -> None:
        if picture and num_frames == 0:
            broken = next((end.detail for end in picture if end.outcome is Outcome.BROKEN), "no frame can be decoded")
            raise VideoError(Reason.NO_FRAMES, f"{work.file.path}: {broken}", "picture")

    def _record(self, work: VideoWork, error: VideoError, attempt: int) -> None:
        self.tally.failed.pop(work.file.path, None)
        fate = self.tally.left if error.reason in LEFT else self.tally.failed
        fate[work.file.path] = error
        if error.reason in COST_A_WORKER:
            self._costly.add(work.file.video_id)
        record_failure(self.lake, self.run_id, work.file.path, work.file.video_id, error, attempt)

    @property
    def counts(self) -> RunCounts:
        """The candidates so far by fate."""
        num_skipped = self._num_skipped + len(self.tally.skipped) + len(self.tally.left)
        return RunCounts(len(self.tally.analysed), num_skipped, len(self.tally.failed), self._num_ignored)

    def summary(self) -> "RunSummary":
        """What the run did so far."""
        return RunSummary(self.run_id, self.counts, time.monotonic() - self._started, self.tally.video_seconds)

    def notes(self) -> list[str]:
        """What the counts don't tell: which videos are left for the next night, and how many are in quarantine."""
        told = [f"left for the next night: {error.message}" for error in self.tally.left.values()]
        if self.tally.quarantined:
            told.append(
                f"{len(self.tally.quarantined)} not tried after too many failed nights: `moodreel failures` names them,"
                " `moodreel failures retry` has them tried again"
            )
        return told

    def closing_rows(self) -> list[dict[str, object]]:
        """Return a row for each video analysed in this run, as its first face and voice models see it."""
        names = ("path", "people", "dominant_emotion", "share", "voice", "verdict", "seconds")
        face = read_manifest(self.config.face_models[0])
        voice = next((read_manifest(name).model_id for name in self.config.voice_models), None)
        rows = closing_rows(self.lake, self.run_id, face.model_id, voice)
        return [{**dict(zip(names, row, strict=True)), "model": face.name} for row in rows]

"""`moodreel rerun`: models on what earlier runs stored, crops of faces and features of sound; no video is opened."""

import json
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from moodreel.flows import progress
from moodreel.flows.night import RunSummary
from moodreel.flows.room import require_room
from moodreel.flows.upkeep import leave_tidy
from moodreel.models.registry import checked_weights, picture_model, read_manifest
from moodreel.schemas.manifest import Manifest
from moodreel.schemas.purposes import Ground, check_purpose, stated_purpose
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import Part, RunCounts, StepKey, StepResult
from moodreel.warehouse.audit import record_access
from moodreel.warehouse.commit import commit_steps
from moodreel.warehouse.lake import CatalogLostError, Lake
from moodreel.warehouse.leases import VIDEO, Leases
from moodreel.warehouse.records import (
    close_dead_runs,
    committed_steps_of,
    finish_run,
    quarantined_contents,
    record_failure,
    register_models,
    start_run,
)
from moodreel.warehouse.staging import StagingArea
from moodreel.warehouse.stored import STEP, StoredVideo, count_videos, stored_rows, unclassified

if TYPE_CHECKING:  # Arrow and torch are loaded only where there is work
    import pyarrow as pa

Classify = Callable[["pa.Table"], "pa.Table"]
log = logging.getLogger("moodreel")


def rerun_models(
    names: list[str], warehouse: Path, purpose: str | None = None, exception: Ground | None = None
) -> RunSummary:
    """Give every video the verdicts of these models that it lacks; a video and model is one transaction.

    Raises:
        ValueError: a model is unknown or takes neither faces nor sound, its weights are wrong, the purpose is
            prohibited, or the warehouse can't be used.
    """
    check_purpose(purpose := stated_purpose(purpose), exception)
    if not names:
        raise ValueError("name a model to classify with: rerun --models NAME,..")
    manifests = [_usable(name) for name in dict.fromkeys(names)]
    started, run_id = time.monotonic(), uuid.uuid4().hex
    with closing(Lake(warehouse)) as lake, Leases(lake, run_id) as leases:
        leases.take_run(run_id)
        close_dead_runs(lake, leases)
        config = json.dumps({"models": names, "exception": exception})
        start_run(lake, run_id, "rerun", config, version("moodreel"), purpose)
        record_access(warehouse, "rerun", purpose=purpose, detail=f"run {run_id}")
        try:
            register_models(lake, manifests)
            done, failed = _work_off(lake, leases, run_id, manifests, warehouse)
        except BaseException:
            finish_run(lake, run_id, "failed", None)
            raise
        counts = RunCounts(len(done - failed), count_videos(lake) - len(done | failed), len(failed), num_ignored=0)
        finish_run(lake, run_id, "completed", counts)
        leave_tidy(lake, leases)
    return RunSummary(run_id, counts, time.monotonic() - started, video_seconds=0.0)


def _usable(name: str) -> Manifest:
    manifest = read_manifest(name)
    if manifest.task == "face":
        checked_weights(picture_model(manifest))
    else:
        manifest.sound_input()
    checked_weights(manifest)
    return manifest


def _work_off(
    lake: Lake, leases: Leases, run_id: str, manifests: list[Manifest], warehouse: Path
) -> tuple[set[str], set[str]]:
    """Return the videos that got verdicts and those where something failed."""
    done: set[str] = set()
    failed: set[str] = set()
    quarantined = quarantined_contents(lake, "rerun")
    work = [
        (manifest, [v for v in unclassified(lake, manifest.task, manifest.model_id) if v.video_id not in quarantined])
        for manifest in manifests
    ]
    num_settled, num_steps = 0, sum(len(videos) for _, videos in work)
    with closing(StagingArea(warehouse, run_id)) as staging, progress.steps("rerun") as (shown, say):
        for manifest, videos in work:
            if not videos:
                continue
            say(f"{manifest.name}: {len(videos)} videos")
            classify = _load(manifest)
            waiting = {VIDEO + video.video_id: video for video in videos}
            while waiting:
                if waiting.keys() <= set(leases.held(VIDEO)):
                    say(f"waiting for {len(waiting)} videos that another run works on")
                for lease in leases.wait_for_any(list(waiting)):
                    if not leases.take(lease):
                        continue  # another run was quicker; it is looked at again
                    video = waiting.pop(lease)
                    try:
                        if _classify_video(lake, run_id, staging, manifest, classify, video):
                            done.add(video.video_id)
                    except CatalogLostError:
                        raise  # no fault of the video's
                    except Exception as error:  # as in a night: a crash becomes a row, the others go on
                        require_room(error, lake.folder)
                        log.exception("%s", video.path)
                        crash = VideoError(Reason.CRASH, f"{video.path}: {type(error).__name__}: {error}", "rerun")
                        record_failure(lake, run_id, video.path, video.video_id, crash, attempt=1)
                        failed.add(video.video_id)
                    finally:
                        leases.release(lease)
                    num_settled += 1
                    shown(num_settled, num_steps)
    return done, failed


def _load(manifest: Manifest) -> Classify:
    from moodreel.tasks.stored import StoredFaces, StoredVoices

    return StoredFaces(manifest.name).rows if manifest.task == "face" else StoredVoices(manifest.name).rows


def _classify_video(
    lake: Lake, run_id: str, staging: StagingArea, manifest: Manifest, classify: Classify, video: StoredVideo
) -> bool:
    """Classify a video's stored rows into the staging area, then commit them; only so is the transaction short.

    Returns:
        Whether there was anything to do: since this run planned, another one may have done it, or upkeep may have
        removed the face pictures, of which nothing can be said then.
    """
    from moodreel.tasks.assemble import keyed_reader

    started, table = time.monotonic(), STEP[manifest.task]
    key = StepKey(table, video.config_id, manifest.model_id)
    if key in committed_steps_of(lake, video.video_id):
        return False
    staged = staging.video(video.video_id)
    try:
        num_judged = 0
        for rows in stored_rows(lake, manifest.task, video):
            num_judged += rows.num_rows
            staged.add(0, Part(table, classify(rows), manifest.model_id))
        staged.close()
        if num_judged != video.num_rows:
            log.warning("%s: what was stored of it is being removed, so %s says nothing", video.path, manifest.name)
            return False
        tables = {table: keyed_reader(table, video.video_id, key, staged, num_judged)}
        result = StepResult(key, video.outcome, video.detail, tables)
        return commit_steps(lake, run_id, video.video_id, [result], time.monotonic() - started, num_judged)
    finally:
        staged.remove()

"""The Prefect flow `nightly`: one task a video, retries for what is retryable, an artifact with the night's table."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

import moodreel.flows.prefect_environment  # isort: skip  # noqa: F401  # Prefect reads it when it is imported

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture, as_completed, wait
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.tasks import Task, exponential_backoff

from moodreel.flows import progress
from moodreel.flows.night import ATTEMPTS, BACK_OFF_S, Night
from moodreel.schemas.config import NightRequest
from moodreel.schemas.reasons import LEFT, RETRY_TONIGHT, VideoError
from moodreel.tasks.plan import VideoWork

# `moodreel run` plans before it starts Prefect at all, and hands its opened night over.
_HANDED_OVER: ContextVar[tuple[Night, list[VideoWork]] | None] = ContextVar("handed_over", default=None)


@flow(name="nightly", persist_result=False)
def nightly(request: NightRequest) -> dict[str, object]:
    """Analyse what is new in a folder and commit it to the warehouse.

    Args:
        request: folder, warehouse and settings.
    """
    handed_over = _HANDED_OVER.get()
    if handed_over:
        return _conduct(*handed_over)
    with Night(request, str(flow_run.get_id()).replace("-", "")) as night:
        return _conduct(night, night.plan())


def conduct_opened(night: Night, work: list[VideoWork]) -> None:
    """Run the flow over a night that is planned already."""
    _start_server()
    token = _HANDED_OVER.set((night, work))
    try:
        nightly(night.request)
    finally:
        _HANDED_OVER.reset(token)


def _start_server() -> None:
    """Have Prefect start the server that it needs, if none is named, out of reach of a terminal's Ctrl-C.

    The flow would wait long for a server that Ctrl-C ended before it.
    """

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # of this thread, and of a process that it starts
        with suppress(Exception):  # the flow meets the same error, and raises it
            get_client(sync_client=True)

    starting = threading.Thread(target=start, name="prefect server", daemon=True)
    starting.start()
    starting.join()


def _conduct(night: Night, work: list[VideoWork]) -> dict[str, object]:
    if work:
        _work_off(night, work)
    _publish(night)
    return night.summary().as_dict()


def _work_off(night: Night, work: list[VideoWork]) -> None:
    """Keep a few videos in work; a night of 15,000 must not be 15,000 waiting tasks."""
    at_once = night.start_workers()
    video = _video_task(night)
    pending: dict[PrefectFuture[State[None] | None], VideoWork] = {}
    try:
        with progress.shown(work) as done:
            todo = work
            while todo:
                for item in todo:
                    if len(pending) == at_once:
                        _await_one(night, pending, done)
                    pending[video.with_options(task_run_name=_run_name(item)).submit(item.file.path, item)] = item
                while pending:
                    _await_one(night, pending, done)
                todo = night.freed()
    except BaseException:  # Ctrl-C and a cancelled flow too
        night.give_up()  # else Prefect would have every video in work analysed to its end first
        wait(list(pending))
        raise


def _video_task(night: Night) -> Task[[str, VideoWork], State[None] | None]:
    @task(
        name="video",
        retries=ATTEMPTS - 1,
        retry_delay_seconds=exponential_backoff(backoff_factor=BACK_OFF_S),
        retry_condition_fn=_is_retryable,
        cache_policy=NO_CACHE,  # resume belongs to the warehouse
        persist_result=False,
    )
    def video(path: str, work: VideoWork) -> State[None] | None:
        context = TaskRunContext.get()
        try:
            night.analyse(work, attempt=context.task_run.run_count if context else 1)
        except VideoError as error:
            if error.reason not in LEFT:
                raise
            return Completed(name="Left", message=str(error))
        return Completed(name="Waiting", message="another run holds it") if night.has_put_aside(work) else None

    return video


def _is_retryable(task: Task[..., None], run: TaskRun, state: State[None]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, VideoError) and error.reason in RETRY_TONIGHT


def _await_one(
    night: Night, pending: dict[PrefectFuture[State[None] | None], VideoWork], done: Callable[[VideoWork], None]
) -> None:
    future = next(as_completed(list(pending)))
    item = pending.pop(future)
    ended = future.result(raise_on_failure=False)
    if isinstance(ended, BaseException) and not isinstance(ended, VideoError):
        raise ended  # no row in `failures` tells of it, so the run must
    if not night.has_put_aside(item):
        done(item)


def _run_name(work: VideoWork) -> str:
    """Name the task run after the file; Prefect would fill in what stands in braces."""
    return os.path.basename(work.file.path).replace("{", "(").replace("}", ")")


def _publish(night: Night) -> None:
    failed: list[dict[str, object]] = [
        {"path": path, "failed": str(error)} for path, error in night.tally.failed.items()
    ]
    create_table_artifact(
        key="night",
        table=[*night.closing_rows(), *failed],
        description="\n\n".join([f"Run {night.run_id} over {night.request.folder}", *night.notes()]),
    )

"""`moodreel run`: plan first; Prefect, Ray and the networks start only if there is work."""

import os
import time
import uuid
from dataclasses import dataclass

from moodreel.flows import progress
from moodreel.flows.night import ATTEMPTS, BACK_OFF_S, Night, RunSummary
from moodreel.schemas.config import NightRequest
from moodreel.schemas.reasons import RETRY_TONIGHT, VideoError
from moodreel.tasks.plan import VideoWork


@dataclass(frozen=True, slots=True)
class RunReport:
    """A finished run, for `--json` or for eyes."""

    summary: RunSummary
    rows: list[dict[str, object]]
    failures: dict[str, str]
    notes: list[str]

    def show(self) -> None:
        """Print the closing table."""
        from moodreel.flows.answers import show_closing_table

        show_closing_table(self.summary, self.rows, self.failures)
        print(*self.notes, sep="\n", end="\n" if self.notes else "")


def run_night(request: NightRequest) -> RunReport:
    """Run a night here: through Prefect and Ray, or with `workers` 0 in this process.

    Raises:
        ValueError: no such folder, unknown model, wrong weights, unusable warehouse.
    """
    run_id = uuid.uuid4().hex
    with Night(request, run_id) as night:
        work = night.plan()
        if work and request.workers == 0:
            _work_off(night, work)
        elif work:
            _through_prefect(night, work)
        summary, rows = night.summary(), night.closing_rows() if work else []
        failures = {path: str(error) for path, error in night.tally.failed.items()}
        notes = night.notes()
    return RunReport(summary, rows, failures, notes)


def _through_prefect(night: Night, work: list[VideoWork]) -> None:
    # quiet unless asked: the flow's log lines would stand between the progress and the closing table
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    from moodreel.flows.nightly import conduct_opened

    conduct_opened(night, work)


def _work_off(night: Night, work: list[VideoWork]) -> None:
    night.start_workers()
    with progress.shown(work) as done:
        todo = work
        while todo:
            for item in todo:
                _analyse_with_retries(night, item)
                if not night.has_put_aside(item):
                    done(item)
            todo = night.freed()


def _analyse_with_retries(night: Night, work: VideoWork) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            night.analyse(work, attempt)
            return
        except VideoError as error:
            if error.reason not in RETRY_TONIGHT or attempt == ATTEMPTS:
                return  # it is in `failures`
            time.sleep(BACK_OFF_S * 2 ** (attempt - 1))

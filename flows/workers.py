"""Who does the work on units: a pool of Ray actors, or this process."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final, Protocol

from moodreel.flows.crashes import die_of_crashes
from moodreel.schemas.config import AnalysisConfig, Isolation
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import Part, Unit, UnitEnd, VideoFile, VideoInfo

_RAY_TOKEN: Final = Path.home() / ".ray" / "auth_token"
OnPart = Callable[[int, Part], None]
PART_TIMEOUT_S: Final = 900.0  # between two pieces of a unit; a piece is seconds of work, at most some minutes
_START_TIMEOUT_S: Final = 600.0
_LOOK_S: Final = 1.0  # between two looks at whether any actor is left
_RESTART_S: Final = 5.0  # between two tries to start one
_RETURN_S: Final = 60.0  # for calls to actors that were ended
_PARTS_WAITING: Final = 4  # pieces that an actor may be ahead of the driver
_OBJECT_STORE_BYTES: Final = 160 * 2**20  # pieces are small; Ray would take a third of the machine's memory


class Workers(Protocol):
    """Runs units of videos; usable from several threads."""

    num_workers: int

    def probe(self, file: VideoFile) -> VideoInfo:
        """See `VideoAnalyst.probe`."""
        ...

    def analyse(self, units: Sequence[Unit], on_part: OnPart) -> list[UnitEnd]:
        """Run units, hand over their parts with the unit's number, and return how each went."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class InProcess:
    """`--workers 0`: one analyst here, one unit after the other; no time limits, since nothing stands outside."""

    def __init__(self, config: AnalysisConfig) -> None:
        from moodreel.tasks.video import VideoAnalyst

        self.num_workers = 1
        self._lock = threading.Lock()
        self._analyst = VideoAnalyst(config)
        self._analyst.setup()

    def probe(self, file: VideoFile) -> VideoInfo:
        """See `Workers`."""
        return self._analyst.probe(file)

    def analyse(self, units: Sequence[Unit], on_part: OnPart) -> list[UnitEnd]:
        """See `Workers`."""
        with self._lock:
            return [_drain(self._analyst.analyse(unit), number, on_part) for number, unit in enumerate(units)]

    def close(self) -> None:
        """See `Workers`."""


class RayPool:
    """Long-lived actors, one a processor; an actor that dies is replaced and its video tried again."""

    def __init__(self, config: AnalysisConfig, num_workers: int | None, part_timeout_s: float = PART_TIMEOUT_S) -> None:
        """Start or join Ray and load the networks; None is one worker a processor of the machine or cluster.

        Raises:
            RuntimeError: the workers could not be started.
        """
        if os.environ.get("RAY_ADDRESS") and _RAY_TOKEN.is_file():
            # `ray start` makes clusters that want the token, and ray.init does not send it by itself
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        import ray

        from moodreel.flows import actor

        self._ray: Any = ray
        self._part_timeout_s = part_timeout_s
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            address = os.environ.get("RAY_ADDRESS")
            local = {
                "num_cpus": num_workers or os.cpu_count(),
                "object_store_memory": _OBJECT_STORE_BYTES,
                "include_dashboard": False,
            }
            # "local": without it Ray would join whatever cluster was last started on this machine
            ray.init(
                address=address or "local", log_to_driver=False, logging_level="ERROR", **({} if address else local)
            )
            die_of_crashes()
        self.num_workers = num_workers or int(ray.cluster_resources()["CPU"])
        self._analyst: Any = actor.Analyst  # @ray.remote gives the class methods that types don't know
        self._config = config
        self.actors = [self._start_actor() for _ in range(self.num_workers)]
        try:
            ray.get([one.ready.remote() for one in self.actors], timeout=_START_TIMEOUT_S)
        except ray.exceptions.GetTimeoutError as error:
            raise RuntimeError(f"Ray has no room for {self.num_workers} workers: ask for fewer --workers") from error
        except ray.exceptions.ActorDiedError as error:
            told = " ".join(str(error).split())
            if os.environ.get("RAY_AUTH_MODE") == "token":  # the two look the same from here
                told += " If the cluster asks for no token, set RAY_AUTH_MODE=disabled."
            raise RuntimeError(f"Ray could not start the workers: {told}") from error
        self._idle: Queue[Any] = Queue()
        for one in self.actors:
            self._idle.put(one)
        self._is_closed = threading.Event()
        self._num_lent, self._returned = 0, threading.Condition()
        self._lost_at: dict[int, float] = {}  # by place in `actors`: since when one is being replaced
        self._last_error = ""  # why the last of them could not be started
        self._threads = ThreadPoolExecutor(self.num_workers, thread_name_prefix="unit")

    def probe(self, file: VideoFile) -> VideoInfo:
        """See `Workers`."""
        with self._actor(file.path, "probe") as actor:
            info: VideoInfo = self._ray.get(actor.probe.remote(file), timeout=self._part_timeout_s)
        return info

    def analyse(self, units: Sequence[Unit], on_part: OnPart) -> list[UnitEnd]:
        """See `Workers`."""
        # a thread waits for an idle actor, so no more units are in flight than there are actors
        futures: list[Future[UnitEnd]] = [
            self._threads.submit(self._run, number, unit, on_part) for number, unit in enumerate(units)
        ]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()  # after a failure the rest of the video is not begun
            for future in futures:
                if not future.cancelled():
                    future.exception()  # no thread may still hand over parts when the video is given up

    def close(self) -> None:
        """See `Workers`; units that are still at work fail."""
        with self._returned:
            if self._is_closed.is_set():
                return
            self._is_closed.set()
        for actor in self.actors:
            self._ray.kill(actor)
        self._threads.shutdown(wait=True, cancel_futures=True)
        with self._returned:  # a call of Ray's after its end would start it anew
            self._returned.wait_for(lambda: self._num_lent == 0, timeout=_RETURN_S)
        if self._owns_ray:
            self._ray.shutdown()

    def _start_actor(self) -> Any:
        return self._analyst.remote(self._config)

    def _replace(self, actor: Any) -> None:
        """End an actor for good and have another one take its place, which is idle once its networks are loaded.

        After the loss of a machine there may be no room for it: the others go on without.
        """
        if self._is_closed.is_set():
            return
        place = self.actors.index(actor)
        self._lost_at[place] = time.monotonic()
        self._ray.kill(actor)
        threading.Thread(target=self._fill, args=(place,), name=f"actor {place}", daemon=True).start()

    def _fill(self, place: int) -> None:
        while not self._is_closed.is_set():
            actor = self.actors[place] = self._start_actor()
            try:
                self._ray.get(actor.ready.remote())
            except self._ray.exceptions.RayError as error:  # lost again, with its machine
                self._last_error = str(error).partition("\n")[0]
                self._is_closed.wait(_RESTART_S)
                continue
            del self._lost_at[place]
            self._idle.put(actor)
            return

    def _take(self, path: str, stage: str) -> Any:
        """Wait for an idle actor.

        Raises:
            VideoError: all actors are lost, and no other one can be started, or for long none could.
        """
        while not self._is_closed.is_set():
            with suppress(Empty):
                return self._idle.get(timeout=_LOOK_S)
            lost = list(self._lost_at.values())
            if len(lost) < len(self.actors):
                continue
            if max(lost) < time.monotonic() - _START_TIMEOUT_S or not self._has_machines():
                cause = f": {self._last_error}" if self._last_error else ""
                raise VideoError(
                    Reason.WORKER_LOST, f"{path}: no worker is left, and none can be started{cause}", stage
                )
        raise VideoError(Reason.WORKER_LOST, f"{path}: the workers are ended", stage)

    def _has_machines(self) -> bool:
        try:
            return any(node["Alive"] for node in self._ray.nodes())
        except Exception:  # whoever would know is gone too
            return False

    def _run(self, number: int, unit: Unit, on_part: OnPart) -> UnitEnd:
        with self._actor(unit.file.path, "picture" if unit.segment else "sound") as actor:
            stream = actor.analyse.options(
                num_returns="streaming", _generator_backpressure_num_objects=_PARTS_WAITING
            ).remote(unit)
            return _drain(self._pieces(stream), number, on_part)

    def _pieces(self, stream: Any) -> Iterator[Part | UnitEnd]:
        while True:
            ready, _ = self._ray.wait([stream], timeout=self._part_timeout_s)
            if not ready:
                raise self._ray.exceptions.GetTimeoutError()
            try:
                yield self._ray.get(next(stream))
            except StopIteration:
                return

    @contextmanager
    def _actor(self, path: str, stage: str) -> Iterator[Any]:
        """Lend an idle actor and turn Ray's errors into reasons."""
        errors = self._ray.exceptions
        actor = self._take(path, stage)
        with self._returned:
            if self._is_closed.is_set():
                raise VideoError(Reason.WORKER_LOST, f"{path}: the workers are ended", stage)
            self._num_lent += 1
        is_sound = False
        try:
            yield actor
            is_sound = True
        except errors.GetTimeoutError as error:
            raise VideoError(Reason.TIMEOUT, f"{path}: no result for {self._part_timeout_s:.0f} s", stage) from error
        except errors.OutOfMemoryError as error:  # Ray ended the actor before the machine would have had to
            raise VideoError(Reason.OUT_OF_MEMORY, f"{path}: the worker ran out of memory", stage) from error
        except (errors.RayActorError, errors.WorkerCrashedError, errors.ObjectLostError) as error:
            raise VideoError(Reason.WORKER_LOST, f"{path}: its worker died", stage) from error
        except errors.RayTaskError as error:
            is_sound = True
            if isinstance(error.cause, VideoError):
                raise error.cause from None
            raise VideoError(Reason.CRASH, f"{path}: {type(error.cause).__name__}: {error.cause}", stage) from error
        finally:
            if is_sound:
                self._idle.put(actor)
            else:  # also after the driver's own trouble, a full disk say: it may be in the middle of a unit
                self._replace(actor)
            with self._returned:
                self._num_lent -= 1
                self._returned.notify_all()


class Alone:
    """A process for one video that cost a worker; it ends with that video."""

    def __init__(self, config: AnalysisConfig, limits: Isolation) -> None:
        from moodreel.tasks.isolation import IsolatedAnalyst

        self.num_workers = 1
        self._analyst = IsolatedAnalyst(config, limits, PART_TIMEOUT_S)

    def probe(self, file: VideoFile) -> VideoInfo:
        """See `Workers`."""
        return self._analyst.probe(file)

    def analyse(self, units: Sequence[Unit], on_part: OnPart) -> list[UnitEnd]:
        """See `Workers`."""
        return [_drain(self._analyst.analyse(unit), number, on_part) for number, unit in enumerate(units)]

    def close(self) -> None:
        """See `Workers`."""
        self._analyst.close()

    def kill(self) -> None:
        """End the process while another thread waits for what it says; `close` is still to come."""
        self._analyst.kill()


def start_workers(config: AnalysisConfig, num_workers: int | None) -> Workers:
    """Start the workers that a request asks for; None is one a processor."""
    if num_workers == 0:
        return InProcess(config)
    return RayPool(config, num_workers)


def _drain(pieces: Iterator[Part | UnitEnd], number: int, on_part: OnPart) -> UnitEnd:
    for piece in pieces:
        if isinstance(piece, UnitEnd):
            return piece
        on_part(number, piece)
    raise AssertionError("a unit ends with its UnitEnd")

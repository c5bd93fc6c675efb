"""A VideoAnalyst in a process of its own, under limits: a video that kills it kills nothing else.

What the process says comes back as lines of JSON, each row of a table behind its line as an Arrow stream: whatever a
hostile video made of the process, nothing of it is executed here. This file is also the process's program.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, Any, Final

import psutil
import pyarrow as pa

from moodreel.schemas.config import AnalysisConfig, Isolation
from moodreel.schemas.reasons import Reason, VideoError
from moodreel.schemas.values import FileStamp, Outcome, Part, Segment, Unit, UnitEnd, VideoFile, VideoInfo

_MAX_PIECE_BYTES: Final = 2**30  # far more than any piece has


class IsolatedAnalyst:
    """The methods of `VideoAnalyst`, for one video that may kill who opens it."""

    def __init__(self, config: AnalysisConfig, limits: Isolation, piece_timeout_s: float) -> None:
        """Start the process; it loads networks only when it has read the video's header.

        Args:
            config: the settings of the analysis.
            limits: what the video may take.
            piece_timeout_s: how long the process may be silent.
        """
        self._limits, self._piece_timeout_s = limits, piece_timeout_s
        self._told = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process lives
        self._child = subprocess.Popen(
            [sys.executable, "-m", "moodreel.tasks.isolation"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            bufsize=0,
            start_new_session=True,  # a terminal's Ctrl-C is the driver's, which ends this when it has its own in order
        )
        self._has_settings = False
        self._settings = {"config": config.model_dump(mode="json"), "limits": limits.model_dump(mode="json")}

    def probe(self, file: VideoFile) -> VideoInfo:
        """See `VideoAnalyst.probe`.

        Raises:
            VideoError: what `VideoAnalyst.probe` raises, OVER_LIMITS, KILLED_ITS_WORKER, TIMEOUT or CRASH.
        """
        self._ask({"probe": asdict(file)}, file.path, "probe")
        return VideoInfo(**self._answer(file.path, "probe")["info"])

    def analyse(self, unit: Unit) -> Iterator[Part | UnitEnd]:
        """See `VideoAnalyst.analyse`.

        Raises:
            VideoError: what `VideoAnalyst.analyse` raises, KILLED_ITS_WORKER, TIMEOUT or CRASH.
        """
        path, stage = unit.file.path, "picture" if unit.segment else "sound"
        self._ask({"analyse": asdict(unit)}, path, stage)
        while True:
            said = self._answer(path, stage)
            if "table" not in said:
                yield UnitEnd(Outcome(said["outcome"]), said["detail"])
                return
            yield Part(said["table"], self._read_rows(int(said["size"]), path, stage), said["model"])

    def kill(self) -> None:
        """End the process; what is asked of it fails."""
        self._child.kill()

    def close(self) -> None:
        """End the process, and give back what it took here."""
        self.kill()
        self._child.communicate()
        self._told.close()

    def _ask(self, request: dict[str, Any], path: str, stage: str) -> None:
        assert self._child.stdin
        lines = [request] if self._has_settings else [self._settings, request]
        self._has_settings = True
        try:
            self._child.stdin.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        except BrokenPipeError:
            raise self._death(path, stage) from None

    def _answer(self, path: str, stage: str) -> dict[str, Any]:
        line = b""
        while not line.endswith(b"\n"):  # unbuffered, since what waits in a buffer is not seen by select
            line += self._read(1, path, stage)
        said: dict[str, Any] = json.loads(line)
        if "reason" in said:
            raise VideoError(Reason(said["reason"]), said["message"], said["stage"])
        return said

    def _read_rows(self, size: int, path: str, stage: str) -> pa.Table:
        if not 0 <= size <= _MAX_PIECE_BYTES:
            raise VideoError(Reason.CRASH, f"{path}: a piece of {size} bytes", stage)
        data = bytearray()
        while len(data) < size:
            data += self._read(size - len(data), path, stage)
        rows = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
        rows.validate(full=True)
        return rows

    def _read(self, size: int, path: str, stage: str) -> bytes:
        assert self._child.stdout
        if not select.select([self._child.stdout], [], [], self._piece_timeout_s)[0]:
            message = f"{path}: no result for {self._piece_timeout_s:.0f} s, alone in a process"
            raise VideoError(Reason.TIMEOUT, message, stage)
        data = os.read(self._child.stdout.fileno(), size)
        if not data:
            raise self._death(path, stage)
        return data

    def _death(self, path: str, stage: str) -> VideoError:
        code = self._child.wait()
        if code == -signal.SIGXCPU:
            message = f"{path}: more than {self._limits.cpu_s} s of processor time, alone in a process"
        else:
            how = signal.Signals(-code).name if code < 0 else self._last_words()
            message = f"{path}: its worker died, and so did a process for it alone ({how})"
        return VideoError(Reason.KILLED_ITS_WORKER, message, stage)

    def _last_words(self) -> str:
        self._told.seek(0)
        return (self._told.read().decode(errors="replace").splitlines() or ["without a word"])[-1]


def _serve(requests: IO[bytes], out: IO[bytes]) -> None:
    """Answer requests until there are no more; limits hold whenever the video's bytes are read."""
    from moodreel.tasks.container import probe_video
    from moodreel.tasks.discover import check_unchanged

    settings = json.loads(requests.readline())
    config, limits = AnalysisConfig(**settings["config"]), Isolation(**settings["limits"])
    analyst: Any = None
    for line in requests:
        request = json.loads(line)
        try:
            if "probe" in request:
                file = _file(request["probe"])
                with _limited(limits):
                    check_unchanged(file)
                    _say(out, info=asdict(probe_video(file.path, limits)))
                continue
            if analyst is None:
                analyst = _load(config)
            segment = request["analyse"]["segment"]
            unit = Unit(_file(request["analyse"]["file"]), Segment(**segment) if segment else None)
            with _limited(limits):
                for piece in analyst.analyse(unit):
                    _give(out, piece)
        except VideoError as error:
            _say(out, reason=error.reason, message=error.message, stage=error.stage)


def _load(config: AnalysisConfig) -> Any:
    from moodreel.tasks.video import VideoAnalyst

    analyst = VideoAnalyst(config)
    analyst.setup()
    return analyst


@contextmanager
def _limited(limits: Isolation) -> Iterator[None]:
    """Limit memory, beyond what the process has now, and processor time."""
    memory, processor = resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU)
    bytes_now = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (bytes_now + limits.memory_mb * 2**20, memory[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (round(time.process_time()) + limits.cpu_s, processor[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, memory)
        resource.setrlimit(resource.RLIMIT_CPU, processor)


def _give(out: IO[bytes], piece: Part | UnitEnd) -> None:
    if isinstance(piece, UnitEnd):
        _say(out, outcome=piece.outcome, detail=piece.detail)
        return
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, piece.rows.schema) as stream:
        stream.write_table(piece.rows)
    rows = sink.getvalue()
    _say(out, table=piece.table, model=piece.model, size=rows.size)
    out.write(rows)
    out.flush()


def _say(out: IO[bytes], **words: object) -> None:
    out.write(json.dumps(words).encode() + b"\n")
    out.flush()


def _file(named: dict[str, Any]) -> VideoFile:
    return VideoFile(named["path"], FileStamp(**named["stamp"]), named["video_id"])


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(sys.stdin.buffer, answers)

"""A PostgreSQL server of the tests' own: Debian's programs, a folder of its own, a socket and no network."""

import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

import pytest

_SOCKET: Final = ".s.PGSQL.5432"
_SPAWN: Final = multiprocessing.get_context("spawn")


class PostgresServer:
    """A running server; its databases are reached by everybody on this machine."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder, self._num_databases = programs, folder, 0
        self._as_other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        os.chmod(folder, 0o755)
        if self._as_other:
            shutil.chown(folder, "nobody", "nogroup")
        self._run("initdb", "-D", str(folder / "db"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start, and wait until it answers."""
        told = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off -c max_connections=200"
        self._ctl("start", "-o", told)

    def stop(self) -> None:
        """End it as a restart does: sessions are cut off."""
        self._ctl("stop", "-m", "fast")

    def new_database(self, template: str = "template0") -> str:
        """Return the name of a new database, a copy of another one."""
        self._num_databases += 1
        name = f"lake{self._num_databases}"
        self.execute(f"CREATE DATABASE {name} OWNER moodreel TEMPLATE {template}")
        return name

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Run SQL and return what psql prints of its answer."""
        return self._run(
            "psql", "-h", str(self._folder), "-U", "postgres", "-AtX", "-v", "ON_ERROR_STOP=1", database, "-c", sql
        )

    def words(self, database: str, role: str = "moodreel") -> str:
        """Return what connects to a database; the role moodreel owns all."""
        return f"dbname={database} host={self._folder} user={role}"

    def content(self, database: str) -> bytes:
        """Return all bytes of a database's own files, which are brought up to date before."""
        self.execute("CHECKPOINT")
        oid = self.execute(f"SELECT oid FROM pg_database WHERE datname = '{database}'")
        return b"".join(path.read_bytes() for path in (self._folder / "db" / "base" / oid).iterdir())

    def way(self, folder: Path) -> "Way":
        """Return a way to the server by a socket in another folder."""
        return Way(self._folder / _SOCKET, folder)

    def _ctl(self, action: str, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "db"), "-l", str(self._folder / "log"), "-w", action, *words)

    def _run(self, program: str, *words: str) -> str:
        # without pipes that the server would inherit and keep open
        with tempfile.TemporaryFile("w+") as said:
            command = [str(self._programs / program), *words]
            code = subprocess.run(command, stdout=said, stderr=said, cwd="/", **self._as_other).returncode  # type: ignore[call-overload]  # the words depend on who runs the tests
            said.seek(0)
            text = said.read().strip()
        assert code == 0, f"{program}: {text}"
        return text


class Way:
    """Carries what clients and a server say to each other, by a process of its own, until it is to lose an answer."""

    def __init__(self, server: Path, folder: Path) -> None:
        self._may_lose, self.has_lost = _SPAWN.Event(), _SPAWN.Event()
        is_open = _SPAWN.Event()
        words = (str(server), str(folder / _SOCKET), is_open, self._may_lose, self.has_lost)
        self._carrier = _SPAWN.Process(target=_admit, args=words, daemon=True)
        self._carrier.start()
        assert is_open.wait(60)

    def lose_an_answer(self) -> None:
        """Break the next connection that commits a snapshot: the server does it, and its answer is not carried."""
        self._may_lose.set()

    def close(self) -> None:
        """End it, and all connections by it."""
        self._carrier.kill()
        self._carrier.join()


def _admit(server_path: str, path: str, is_open: Event, may_lose: Event, has_lost: Event) -> None:
    with socket.socket(socket.AF_UNIX) as gate:
        gate.bind(path)
        gate.listen()
        is_open.set()
        while True:
            client, server = gate.accept()[0], socket.socket(socket.AF_UNIX)
            server.connect(server_path)
            is_cut = threading.Event()
            threading.Thread(target=_carry_questions, args=(client, server, is_cut, may_lose, has_lost)).start()
            threading.Thread(target=_carry_answers, args=(client, server, is_cut)).start()


def _carry_questions(
    client: socket.socket, server: socket.socket, is_cut: threading.Event, may_lose: Event, has_lost: Event
) -> None:
    has_snapshot = False
    with suppress(OSError):
        while said := client.recv(2**16):
            has_snapshot |= b"ducklake_snapshot VALUES" in said
            if may_lose.is_set() and has_snapshot and b"COMMIT" in said:
                may_lose.clear()
                has_lost.set()
                is_cut.set()
            server.sendall(said)
        server.shutdown(socket.SHUT_WR)


def _carry_answers(client: socket.socket, server: socket.socket, is_cut: threading.Event) -> None:
    with suppress(OSError):
        while (said := server.recv(2**16)) and not is_cut.is_set():
            client.sendall(said)
        client.shutdown(socket.SHUT_RDWR)  # the other thread waits for it
        server.close()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server, or skip the test where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].name:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path has 107 characters at most
    try:
        server = PostgresServer(found[-1].parent, folder)
        server.start()
        server.execute("CREATE ROLE moodreel LOGIN")
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of a test's own: in a directory of its own, on a Unix socket, without fsync."""

import itertools
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import psycopg

from kit.waiting import eventually

START_S = 30.0
STOP_S = 20.0
# Debian keeps the server's programs out of the path.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
INITDB, SERVER = shutil.which("initdb", path=_PATH), shutil.which("postgres", path=_PATH)


@dataclass(kw_only=True)
class Postgres:
    """A server that runs; each database of it is for one test."""

    directory: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def database(self, template: str = "template0") -> str:
        """The name of a new database, empty or a copy of another one that nobody is connected to."""
        name = f"test{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        """A database as `settings_url` names it."""
        return f"postgresql+psycopg://ringfence@/{name}?host={self.directory}"

    def _do(self, statement: str) -> None:
        with psycopg.connect(self.where("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def where(self, name: str) -> str:
        """A database as libpq names it."""
        return f"host={self.directory} user=ringfence dbname={name}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self.where("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def server() -> Iterator[Postgres]:
    """Start one; it ends with the block and leaves nothing behind."""
    assert INITDB is not None
    assert SERVER is not None
    # A path to a socket has 107 bytes at most, which pytest's directories may pass.
    directory = Path(mkdtemp(prefix="ringfence-pg-"))
    # It refuses to run as root.
    user = None
    if os.getuid() == 0:
        user = "postgres" if any(each.pw_name == "postgres" for each in pwd.getpwall()) else "nobody"
        shutil.chown(directory, user)
    made = directory / "data"
    process: subprocess.Popen[bytes] | None = None
    try:
        options = ["-D", str(made), "-U", "ringfence", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(
            [INITDB, *options], check=True, cwd=directory, user=user, stdout=subprocess.DEVNULL, timeout=60
        )
        quick = [f"-c{name}=off" for name in ("fsync", "synchronous_commit", "full_page_writes")]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [SERVER, "-D", str(made), "-k", str(directory), "-clisten_addresses=", *quick],
                cwd=directory,
                user=user,
                stdout=log,
                stderr=log,
            )
        running = Postgres(directory=directory)
        eventually(running.answers, within_s=START_S)
        yield running
    finally:
        if process is not None:
            process.terminate()
            process.wait(STOP_S)
        shutil.rmtree(directory, ignore_errors=True)

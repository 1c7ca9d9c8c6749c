"""A private PostgreSQL in one folder, from the system's programs: no network and no password.

It listens on a Unix socket alone, and the kernel identifies clients there (peer authentication): there is
no password that a command line, an environment or a file could show.
"""

import ctypes
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.trial import BadInput

USER, NAME = "unrolled", "mlflow"
DEBIAN = Path("/usr/lib/postgresql")
INSTALL = "install PostgreSQL: apt-get install postgresql"
PATIENCE = 120.0  # seconds: after a crash it replays what it had not written


@dataclass(frozen=True, kw_only=True)
class System:
    """PostgreSQL's programs, and the account that they run under: they refuse to run as root."""

    programs: Path
    account: dict[str, Any] = field(default_factory=dict)  # subprocess's arguments for another account


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run the database in a folder and yield its address for SQLAlchemy. A missing database is created.

    The folder's parent must exist. Raises BadInput if PostgreSQL is missing or does not start.
    """
    system = _system(folder)
    if not folder.exists():
        _create(folder, system)
    # A socket's path has at most 107 bytes, so it cannot stand in the folder.
    with tempfile.TemporaryDirectory(prefix="unrolled-", dir="/tmp") as socket:
        _give(Path(socket), system)
        process = _start(folder, Path(socket), system)
        try:
            yield f"postgresql+psycopg2://{USER}@/{NAME}?host={socket}"
        finally:
            process.send_signal(signal.SIGINT)  # "fast": it writes everything and does not wait for clients
            process.wait()


def _system(folder: Path) -> System:
    """The programs and the account for a folder's database. Raises BadInput."""
    made_by = folder / "PG_VERSION"
    version = made_by.read_text().strip() if made_by.exists() else ""
    programs = _programs(version)
    if os.geteuid() != 0:
        return System(programs=programs)
    try:
        account = pwd.getpwnam("postgres")
    except KeyError as error:
        rule = "PostgreSQL does not run as root, and there is no user postgres"
        raise BadInput(rule, cure=INSTALL) from error
    words = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    system = System(programs=programs, account=words)
    _give(folder.parent, system)
    reach: list[str | Path] = ["test", "-w", folder.parent.absolute()]
    if subprocess.run(reach, cwd="/", check=False, **system.account).returncode:
        raise BadInput(
            "the user postgres, who runs the database for root, cannot get there",
            place=folder.parent,
            cure="choose a folder under /srv or /var/lib with --folder",
        )
    return system


def _programs(version: str) -> Path:
    """The folder of PostgreSQL's programs: of one version, or the newest (Debian keeps several)."""
    found = [path.parent for path in DEBIAN.glob("*/bin/initdb")]
    found += [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    if not found:
        raise BadInput("the server keeps its data in PostgreSQL, which is not installed here", cure=INSTALL)
    by_version = {_version(path): path for path in reversed(found)}
    version = version or max(by_version, key=int)
    if version not in by_version:
        raise BadInput(
            f"the database was made by PostgreSQL {version}, which is not installed here",
            cure=f"apt-get install postgresql-{version}, or choose a new --folder and run `unrolled sync`",
        )
    return by_version[version]


def _version(programs: Path) -> str:
    told = subprocess.run([programs / "initdb", "--version"], capture_output=True, text=True, check=True)
    return str(re.findall(r"\d+", told.stdout)[0])


def _give(path: Path, system: System) -> None:
    if system.account:
        os.chown(path, system.account["user"], system.account["group"])


def _create(folder: Path, system: System) -> None:
    """Make the database under another name first: an interrupted attempt does not count."""
    draft = folder.with_name(f"{folder.name}.new").absolute()
    shutil.rmtree(draft, ignore_errors=True)
    programs, me = system.programs, _my_name()
    superuser = ["--username", "postgres", "--auth", "peer"]
    _call([programs / "initdb", "-D", draft, *superuser, "-E", "UTF8", "--locale", "C", "-k"], system)
    (draft / "pg_hba.conf").write_text(f"local {NAME} {USER} peer map=server\n")
    (draft / "pg_ident.conf").write_text(f'server "{me}" {USER}\n')
    # The role owns its database and nothing else: a superuser could run programs from SQL.
    sql = f"CREATE ROLE {USER} LOGIN;\nCREATE DATABASE {NAME} OWNER {USER};\n"
    _call([programs / "postgres", "--single", "-D", draft, "postgres"], system, sql)
    draft.rename(folder)


def _my_name() -> str:
    """This account's name, as the kernel passes it to the database, whatever the environment says."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        raise BadInput(
            f"PostgreSQL needs a name for user {os.geteuid()}", cure="add one to /etc/passwd"
        ) from error


def _call(command: list[str | Path], system: System, text: str = "") -> None:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, cwd="/", check=False, **system.account
    )
    if done.returncode:
        raise BadInput(f"PostgreSQL's {Path(command[0]).name} failed: {' '.join(done.stderr.split())[-300:]}")


def _start(folder: Path, socket: Path, system: System) -> "subprocess.Popen[bytes]":
    """Start the database and wait until it answers. Raises BadInput with the end of its log."""
    log = folder.with_name("postgres.log")
    where = ["listen_addresses=", f"unix_socket_directories={socket}", "unix_socket_permissions=0700"]
    settings = [word for setting in where for word in ("-c", setting)]
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [system.programs / "postgres", "-D", folder.absolute(), *settings],
            stdout=stream, stderr=stream, cwd="/", start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGINT), **system.account,
        )  # fmt: skip
    to = f"--host={socket}", f"--dbname={NAME}", f"--username={USER}"
    ready: list[str | Path] = [system.programs / "pg_isready", "--quiet", *to]
    deadline = time.monotonic() + PATIENCE
    while subprocess.run(ready, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise BadInput(f"PostgreSQL did not start ({last_line(log)})", place=folder, cure=f"see {log}")
        time.sleep(0.1)
    return process


def last_line(log: Path) -> str:
    """The last error in a log, or its last line."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    fatal = [line for line in lines if re.search("FATAL|ERROR|Error", line)]
    return (fatal or lines or ["its log is empty"])[-1].strip()[-300:]


def dies_with_parent(number: int) -> Callable[[], None] | None:
    """A `preexec_fn`: the kernel sends the child a signal when its parent dies (Linux)."""
    if sys.platform != "linux":
        return None
    prctl, pr_set_pdeathsig = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(pr_set_pdeathsig, number)

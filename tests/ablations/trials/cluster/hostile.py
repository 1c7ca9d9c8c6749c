"""What a hostile worker loads (`dask worker --preload`): whoever unpickles what it sends leaves a file."""

import copyreg
import os
import pickle
from pathlib import Path

import distributed.worker
from distributed import get_worker
from distributed.protocol import to_serialize

from ablations.trials import cluster

FOLDER, ATTACK = os.environ["UNROLLED_HOSTILE"], os.environ["UNROLLED_ATTACK"]
PROGRAM = f"import os, pathlib; pathlib.Path({FOLDER!r}, str(os.getpid())).touch()"
honest = vars(cluster).setdefault("honest", {"prepare": cluster.prepare, "perform": cluster.perform})


class Bomb:
    def __reduce__(self):
        return exec, (PROGRAM,)


class Kind(type):
    """A class of it is what explodes, and not what the class makes."""


class Typed(metaclass=Kind):
    def __reduce__(self):
        return bytes, ()


copyreg.pickle(Kind, lambda _: (exec, (PROGRAM,)))


def perform(*words: object) -> object:
    if ATTACK in errors:
        raise ValueError
    if ATTACK == "event":
        get_worker().log_event("all", {"action": "add-worker", "worker": to_serialize(Bomb())})
    if ATTACK == "warning":
        get_worker().log_event("warn", {"message": pickle.dumps(Bomb())})
    if ATTACK == "odd events":
        for about in ([], {"action": "add-worker"}, {"action": ["x"]}):
            get_worker().log_event("all", about)
    made = {"result": Bomb, "list of results": lambda: [Bomb()], "type": Typed, "number": lambda: 3}
    return made[ATTACK]() if ATTACK in made else honest["perform"](*words)


def prepare(*words: object) -> object:
    return Bomb() if ATTACK == "entry" else honest["prepare"](*words)


errors = {"error": pickle.dumps(Bomb()), "error of another kind": Bomb()}
if ATTACK in errors:
    told = {"status": "error", "traceback": None, "exception_text": "", "traceback_text": ""}
    told["exception"] = to_serialize(errors[ATTACK])
    distributed.worker.error_message = lambda _: told
cluster.perform, cluster.prepare = perform, prepare
Path(FOLDER).mkdir(exist_ok=True)

"""Programs that write results from stdin, a JSON line each, to MLflow; how tests start, feed and ask them."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterable
from functools import partial

from stub_plans import planned

from bench.trial import Result


def project(where: str, study: str) -> None:
    from ablations.tracking.projection import Projection

    projection = Projection(planned(study=study), where)
    projection.begin(1.0)
    print("ready", flush=True)
    for line in sys.stdin:
        projection.record("baseline", Result.from_dict(json.loads(line)))
        print("written", flush=True)


def record(where: str, study: str, patience: str) -> None:
    from ablations.tracking.recorder import Recorder

    recorder = Recorder(planned(study=study), where, pause=0.1)
    for line in sys.stdin:
        recorder.record("baseline", partial(Result.from_dict, json.loads(line)))
    print(recorder.close(patience=float(patience)))


def start(*words: str, **options: object) -> "subprocess.Popen[str]":
    """`project WHERE STUDY` or `record WHERE STUDY PATIENCE` in a process of its own."""
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, __file__, *words], **pipes, text=True, **options)


def feed(process: "subprocess.Popen[str]", results: Iterable[Result]) -> None:
    process.stdin.write("".join(json.dumps(one.to_dict()) + "\n" for one in results))
    process.stdin.flush()


def ask(address: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    """Send a server a request whose path stays as it is written; the status of its answer, and the text."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    said = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, said


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

"""Programs that write results from stdin, a JSON line each, to MLflow; how tests start, feed and ask them."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterable
from functools import partial

from stub_plans import planned

from unrolled.bench.trial import Result


def write(where: str, study: str) -> None:
    """In this thread, one trial after the other."""
    from unrolled.ablations.mlflow.study_runs import StudyRuns

    runs = StudyRuns(planned(study=study), where)
    print("ready", flush=True)
    for line in sys.stdin:
        runs.write_trial("baseline", Result.from_dict(json.loads(line)))
        print("written", flush=True)


def train(where: str, study: str, patience: str) -> None:
    """On the writer's thread, as a run does; prints what `finish_writing` returns."""
    from unrolled.ablations.mlflow import writer

    writer.PATIENCE = float(patience)
    thread = writer.Writer(where)
    thread.open_study(planned(study=study))
    results = [Result.from_dict(json.loads(line)) for line in sys.stdin]
    for result in results:
        thread.write_trial("baseline", partial(Result.from_dict, result.to_dict()))
    thread.write_missing(("baseline", result) for result in results)
    print(thread.finish_writing())


def start(*words: str, **options: object) -> "subprocess.Popen[str]":
    """`write WHERE STUDY` or `train WHERE STUDY PATIENCE` in a process of its own."""
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

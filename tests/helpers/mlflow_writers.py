"""Programs that write results from stdin, a JSON line each, to MLflow; how tests start, feed and ask them."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

from tests.helpers.processes import helpers_path
from tests.helpers.stub_results import build_plan
from unrolled.bench.trial import Result


def write(uri: str, study: str) -> None:
    """Write one trial after the other in this thread."""
    from unrolled.ablations.mlflow.mlflow_runs import MlflowRuns

    runs = MlflowRuns(build_plan(study=study), uri)
    print("ready", flush=True)
    for line in sys.stdin:
        runs.write_trial("baseline", Result.from_dict(json.loads(line)))
        print("written", flush=True)


def train(uri: str, study: str, patience: str) -> None:
    """Write on the writer's thread, as a run does, and print what `finish_writing` returns."""
    from unrolled.ablations.mlflow import writer

    writer.PATIENCE = float(patience)
    thread = writer.Writer(uri)
    thread.open_study(build_plan(study=study))
    results = [Result.from_dict(json.loads(line)) for line in sys.stdin]
    for result in results:
        thread.write_trial("baseline", partial(Result.from_dict, result.to_dict()))
    thread.write_missing(("baseline", result) for result in results)
    print(thread.finish_writing())


def start_writer(*words: str, **options: Any) -> "subprocess.Popen[str]":
    """Start `write URI STUDY` or `train URI STUDY PATIENCE` in a process of its own."""
    program = [sys.executable, "-m", "tests.helpers.mlflow_writers", *words]
    options["env"] = {**options.get("env", os.environ), "PYTHONPATH": helpers_path()}
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def feed_results(process: "subprocess.Popen[str]", results: Iterable[Result]) -> None:
    """Write results to a process's stdin, a JSON line each."""
    process.stdin.write("".join(json.dumps(result.to_dict()) + "\n" for result in results))
    process.stdin.flush()


def send_request(
    address: str, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, str]:
    """Send a server a request with the path as it is and return status and text of its answer."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, text


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

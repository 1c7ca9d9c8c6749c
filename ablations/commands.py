"""Words over what was run: replay it, say how far it is, bring MLflow level with it, browse it."""

import os
import socket
from argparse import Namespace

from ablations import looking
from ablations import plan as plans
from ablations.ledger import Ledger
from ablations.running import conditions
from bench.trial import BadInput, Result, visible


def verify(args: Namespace) -> int:
    """Train a sample of the finished trials again, in fresh processes, and compare the bits."""
    from ablations.verification import sample, verdicts

    looking.load_plugins(args)
    plan = plans.stored(args.study, Ledger(args.results))
    results = sample(plan, Ledger(args.results), args.number)
    same = 0
    for result, difference in verdicts(results, **conditions(args)):
        same += not difference
        if difference:
            print(f"{result.trial.model} seed {result.trial.seed} ({result.trial.id}): {difference}")
    print(f"{same} of {len(results)} bit-identical")
    return 0 if same == len(results) else 1


def status(args: Namespace) -> int:
    """Print how far each study is."""
    ledger = Ledger(args.results)
    for plan in plans.of_studies(args.studies, ledger):
        results = [result for _, _, result in plan.cells(ledger)]
        done = sum(r.done for r in results)
        faults = [r for r in results if not r.done]
        missing = len(plan.ids) - len(results)
        print(f"{visible(plan.study)}: {done} done, {len(faults)} failed, {missing} missing")
        for result in faults:
            print(f"  {result.trial.id} seed {result.trial.seed}: {visible(result.reason)}")
    return 0


def sync(args: Namespace) -> int:
    """Bring MLflow level with the ledger."""
    from ablations import tracking
    from ablations.entry import facts

    ledger = Ledger(args.results)
    for plan in plans.of_studies(args.studies, ledger):
        with ledger.lock(plan.study):
            by_arm: dict[str, list[Result]] = {}
            for arm, _, result in plan.cells(ledger):
                by_arm.setdefault(arm.name, []).append(result)
            print(f"{visible(plan.study)}: {tracking.sync(facts(plan), by_arm, tracking.uri())}")
    return 0


def ui(args: Namespace) -> int:
    """Become MLflow's server on 127.0.0.1."""
    from ablations import tracking

    command = tracking.ui_command(tracking.uri(), args.port)
    try:
        with socket.create_server(("127.0.0.1", args.port)):
            pass  # it is free
    except OSError as error:
        raise BadInput(f"--port {args.port}: {error.strerror}; choose another one") from error
    tracking.settings()
    print(f"MLflow: http://127.0.0.1:{args.port} (Ctrl-C ends it)", flush=True)
    os.execvp(command[0], command)

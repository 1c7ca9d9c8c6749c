"""Ending the trials when the fork server ends. Only the fork server imports this module, before all others.

The server ends with the driver, however the driver ends. A trial also notices the driver's end, unless it
holds the interpreter's lock.
"""

from contextlib import suppress

import psutil

from unrolled.ablations import run_folder
from unrolled.ablations.runner.child import end_group


def end_trials() -> None:
    """Kill the children of this process, each with its group."""
    for trial in psutil.Process().children():
        end_group(trial.pid)
        with suppress(psutil.NoSuchProcess):
            trial.kill()  # it has no process group of its own yet


run_folder.call_at_exit(end_trials)

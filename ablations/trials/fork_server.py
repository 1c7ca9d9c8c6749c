"""Imported by the fork server alone, and first: nothing outlives it but by killing the server itself.

It adopts what killed trials leave behind, for the driver to kill; and when the driver ends, however that
ends, the server does too and kills every trial and all that they started.
"""

import atexit
import os
import warnings

from ablations.trials import descendants

warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")  # it has adopted it
descendants.adopt_orphans()


def _last(server: int = os.getpid()) -> None:
    if os.getpid() == server:  # and not a process forked from it
        descendants.kill_own()


atexit.register(_last)

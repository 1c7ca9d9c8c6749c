"""The first module that the fork server imports, and no other process: it ends what would outlive the server.

The server adopts what killed trials leave behind, for the driver to kill. It ends with the driver, however
that ends, and then kills every trial and all that they started.
"""

import warnings

from ablations import scratch
from ablations.trials import descendants

warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")  # it has adopted it
descendants.adopt_orphans()
scratch.at_exit(descendants.kill_own)

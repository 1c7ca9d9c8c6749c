from collections.abc import Callable

from unrolled.ablations.runner.supervisor import RunSupervisor


def make_supervisor(**functions: Callable) -> RunSupervisor:
    """Return a supervisor with these functions in place of its methods."""
    supervisor = RunSupervisor()
    vars(supervisor).update(functions)
    return supervisor

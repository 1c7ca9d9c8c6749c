"""A scheduler and workers on this machine, for trying a cluster: `make cluster`."""

import signal
import sys
from collections.abc import Sequence
from multiprocessing import resource_tracker

import dask
from distributed import LocalCluster

from ablations.flags import Parser, check_free, count, or_zero, port
from ablations.trials.cluster import quiet
from bench.trial import BadInput, counted


def main(argv: Sequence[str] | None = None) -> int:
    """A scheduler and workers on 127.0.0.1, in the foreground. Exit codes: 0, 2 bad input."""
    parser = Parser(prog="python -m ablations.trials.local_cluster", description=main.__doc__)
    parser.add_argument("--port", type=or_zero(port), default=8786, help="0 is any that is free")
    parser.add_argument("--workers", type=count, default=2, help="each runs one trial at a time")
    try:
        args = parser.parse_args(argv)
        check_free(args.port)
    except BadInput as error:
        print(f"make cluster: {error}", file=sys.stderr)
        return 2
    # Ctrl-C in a terminal reaches the whole group; only this process handles it and then ends the others.
    resource_tracker.ensure_running()  # now, as it unblocks the signal in the thread that starts it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        LocalCluster(
            host="127.0.0.1",
            scheduler_port=args.port,
            n_workers=args.workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",  # unused: Bokeh is not a dependency
        ) as cluster,
    ):
        print(f"{cluster.scheduler_address}, {counted(args.workers, 'worker')}; Ctrl-C ends them", flush=True)
        signal.sigwait({signal.SIGINT})
        quiet()
    return 0


if __name__ == "__main__":
    sys.exit(main())

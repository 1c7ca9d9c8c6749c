"""A scheduler and workers on this machine, for trying a cluster: `make cluster`."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from multiprocessing import resource_tracker

import dask
from distributed import LocalCluster

from ablations.trials.cluster import quiet


def main(argv: Sequence[str] | None = None) -> int:
    """A scheduler and workers on 127.0.0.1, in the foreground. Exit codes: 0, 2 bad input."""
    parser = argparse.ArgumentParser(prog="make cluster", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8786)
    parser.add_argument("--workers", type=int, default=2, help="with a place each")
    args = parser.parse_args(argv)
    try:
        with socket.create_server(("127.0.0.1", args.port)):
            pass  # it is free
    except OSError as error:
        print(f"--port {args.port}: {os.strerror(error.errno or 0)}; choose another one", file=sys.stderr)
        return 2
    # Ctrl-C in a terminal reaches the whole group; it is for this process, which then ends the others.
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
            dashboard_address="127.0.0.1:0",  # nothing is shown there, as Bokeh is not needed
        ) as cluster,
    ):
        print(f"{cluster.scheduler_address}, {args.workers} workers; Ctrl-C ends them", flush=True)
        signal.sigwait({signal.SIGINT})
        quiet()
    return 0


if __name__ == "__main__":
    sys.exit(main())

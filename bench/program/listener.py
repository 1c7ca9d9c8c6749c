"""Reading what a program prints: rows of numbers, and other lines, whose last ones say why it failed."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

from unrolled.bench.formats.table_files import parse_row
from unrolled.bench.program.output import ReportedMetrics

LINE_BYTES = 1 << 20  # a longer line is read as several lines, which may not be rows of numbers
PIPE_SECONDS = 2.0  # seconds to read on after the program's end, if a process that it left holds a pipe
MESSAGE_LINES = 5  # lines of an exception that the reason of a failure quotes


class Failure(Exception):
    """A program has failed. The message is the reason of its result, and `cause` the result's `cause`."""

    def __init__(self, reason: str, cause: str = "") -> None:
        super().__init__(reason)
        self.cause = cause


class Listener:
    """Threads that read the rows of numbers which a program prints, and print its other lines."""

    last_line = ""  # the last line that is no row of numbers
    last_error_line = ""  # the last line of standard error, even if standard output has a later one
    traceback_lines: Sequence[str] | None = (
        None  # lines of standard error from the last exception's message on
    )
    reader_error: Exception | None = None  # error of a thread that read the output; it ends the program

    def __init__(
        self, program: "subprocess.Popen[bytes]", reported: ReportedMetrics, *, matches_lines: bool
    ) -> None:
        self._program = program
        self._reported = reported
        self._matches_lines = matches_lines
        handlers = [(program.stderr, self._handle_error_line), (program.stdout, self._handle_output_line)]
        self._threads = [
            threading.Thread(target=self._read_pipe, args=(pipe, handle_line), daemon=True)
            for pipe, handle_line in handlers
            if pipe
        ]
        for thread in self._threads:
            thread.start()

    def wait_for_end(self) -> tuple[int, float]:
        """Return the program's exit code and when it ended. Raises Failure if its output was not read."""
        code = self._program.wait()
        end = time.perf_counter()
        for thread in self._threads:
            thread.join(PIPE_SECONDS)
        if self.reader_error:
            raise Failure(f"its output cannot be read: {self.reader_error}") from self.reader_error
        return code, end

    @property
    def last_exception(self) -> str:
        """The message of the exception that ended it, in one line; else the last line of standard error.

        An exception counts as having ended it if at most MESSAGE_LINES lines follow its traceback.
        """
        message = self.traceback_lines or []
        return " ".join(message) if 0 < len(message) <= MESSAGE_LINES else self.last_error_line

    def _read_pipe(self, pipe: IO[bytes], handle_line: Callable[[str], None]) -> None:
        try:
            for line in iter(lambda: pipe.readline(LINE_BYTES), b""):
                handle_line(line.decode(errors="replace"))
        except Exception as error:
            self.reader_error = error
            self._program.kill()

    def _handle_output_line(self, line: str) -> None:
        row = parse_row(line)
        if row is not None:
            self._reported.add_row(row)
        elif line.startswith("{") and len(line) >= LINE_BYTES:
            raise ValueError(f"a row of numbers has more than {LINE_BYTES:,} bytes")
        else:
            self._log_line(line)

    def _handle_error_line(self, line: str) -> None:
        self._log_line(line)
        if line.startswith("Traceback (most recent call last)"):
            self.traceback_lines = []
        elif (lines := self.traceback_lines) is not None and line.strip() and (lines or line[0] != " "):
            self.traceback_lines = [*lines[: MESSAGE_LINES + 1], line.strip()]
        self.last_error_line = line.strip() or self.last_error_line

    def _log_line(self, line: str) -> None:
        print(line, end="", file=sys.stderr, flush=True)
        self.last_line = line.strip() or self.last_line
        if self._matches_lines and self._reported.patterns:
            self._reported.add_line(line)

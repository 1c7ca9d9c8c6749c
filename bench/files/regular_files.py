"""Reading a whole file that the user names: a corpus, a study, a plug-in or a table."""

import errno
import os
import stat
from pathlib import Path

from unrolled.bench.errors import BadInput


def read_regular_file(path: str, max_bytes: int) -> bytes:
    """Return the bytes of a file. Raises OSError for a pipe or a device, and for more than `max_bytes`."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"has {status.st_size:,} bytes, more than {max_bytes:,}")
    return content


def explain_unread_file(error: OSError, path: str | Path, cure: str) -> BadInput:
    """Return the BadInput for a file that cannot be opened. `cure` is for any reason but its permissions."""
    if isinstance(error, PermissionError):
        cure = "make it readable"
    return BadInput(error.strerror or error, place=path, cure=cure)

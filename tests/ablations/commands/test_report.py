"""What is written into the reports' folder, also where the process that writes is killed."""

import subprocess
import sys
from pathlib import Path

from ablations.commands.report import writable

KILLED = """
import os, signal, sys
from pathlib import Path
from bench.files import save
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
save(Path(sys.argv[1]), b"a page")
"""


def test_the_draft_of_a_page_whose_process_was_killed_is_removed_by_the_next_report(tmp_path: Path) -> None:
    for page in (tmp_path / "index.html", tmp_path / "study" / "index.html"):
        page.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-c", KILLED, str(page)], check=False)
        (draft,) = page.parent.glob(".*")
        assert draft.name.startswith(".index.html.") and not page.exists()
    writable(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["study"]

"""The summary of a page, `summary.json` beside it, from which the index and `unrolled studies` are made.

It is read without pandas and Matplotlib. A summary that is missing, broken or of another page is ignored.
"""

import hashlib
import json
import re
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

SUMMARY_NAME = "summary.json"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A page in short. Texts are plain, and sentences have no full stop."""

    study: str
    question: str
    answer: tuple[str, ...]  # a sentence, followed by a line for each finding
    facts: str  # baseline, metrics, the state of the study, and the time that all of its trials took
    warnings: tuple[str, ...]
    done_count: int  # number of trials
    failed_count: int
    decided_count: int  # number of decided contrasts
    contrast_count: int
    last_result: str  # the day when the last result ended (UTC), as 2026-11-30; "" if no result has a time
    study_hash: str  # hash of the plan; "" for a table from elsewhere
    largest_effect: float  # largest effect with a shown direction, in δ
    page_hash: str  # sha256 of the page

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> bytes:
        """Return the content of `summary.json`."""
        return f"{json.dumps(asdict(self), indent=1)}\n".encode()


_SUMMARY = TypeAdapter(Summary)


def hash_page(data: bytes) -> str:
    """Return the hash that a summary has of its page."""
    return hashlib.sha256(data).hexdigest()


def read_summary(page: Path) -> Summary | None:
    """Return the summary beside a page; None if it is missing, broken or of another page."""
    try:
        summary = _SUMMARY.validate_json(page.with_name(SUMMARY_NAME).read_bytes())
        is_own = summary.page_hash == hash_page(page.read_bytes())
    except (OSError, ValueError):
        return None
    return summary if is_own else None


def read_summaries(out: Path) -> dict[Path, Summary | None]:
    """Return the summary of every page in the folders of `out`, by the page's path."""
    return {page: read_summary(page) for page in sorted(out.glob("*/index.html"))}


def find_page(study: str, out: Path) -> Path:
    """Return the path of a study's page: out/models/index.html.

    The folder is the study's name. A name with spaces or other characters that folders should not have is
    shortened to its letters and digits, and a hash keeps it unique: digits-dropout-5c0f1d2e.
    """
    plain = unicodedata.normalize("NFKD", study).encode("ascii", "ignore").decode()
    folder = re.sub(r"[^\w-]+", "-", plain)[:64].strip("-_")
    if folder != study or not study:
        mark = hashlib.sha256(study.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        folder = f"{folder}-{mark}".lstrip("-")
    return out / folder / "index.html"

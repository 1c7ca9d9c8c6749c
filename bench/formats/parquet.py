"""Tables of Apache Parquet, .parquet."""

import io
from pathlib import Path

from unrolled.bench.formats.table_files import Format, Row


def read_parquet(path: Path) -> list[Row]:
    """Return the rows of a table."""
    import pyarrow.parquet

    rows: list[Row] = pyarrow.parquet.read_table(io.BytesIO(path.read_bytes())).to_pylist()
    return rows


PARQUET = Format(read_parquet, package="pyarrow")

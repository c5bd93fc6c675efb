"""Parquet files of labelled examples, which users bring."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(source: Path) -> pa.Table:
    """Read a whole file.

    Raises:
        ValueError: it is no Parquet file, or a damaged one.
    """
    try:
        return pq.read_table(source)
    except (pa.ArrowException, OSError) as error:  # what is wrong in a page is an OSError to Arrow
        cause = str(error).partition("\n")[0]
        raise ValueError(f"{source} is no Parquet file, or a damaged one: {cause}") from error

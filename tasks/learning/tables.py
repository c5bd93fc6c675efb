"""Parquet files of labelled examples, which users bring."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(source: Path) -> pa.Table:
    """Read a whole file.

    Raises:
        ValueError: it is no Parquet file, or a damaged one.
        OSError: the disk does not give it, or nobody may read it.
    """
    try:
        table = pq.read_table(source)
        table.validate(full=True)  # whether text is UTF-8
        return table
    except (pa.ArrowException, OSError) as error:
        # what is wrong in a page is a plain OSError to Arrow, without the number that those of the disk have
        is_of_the_disk = isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None)
        if is_of_the_disk or isinstance(error, MemoryError):
            raise
        cause = str(error).partition("\n")[0]
        raise ValueError(f"{source} is no Parquet file, or a damaged one: {cause}") from error

CALL lake.set_option('parquet_compression', 'zstd');
-- a writer holds a whole row group in memory: of crops 4096 rows are about 32 MB, the default 122880 would be 1 GB
CALL lake.set_option('parquet_row_group_size', '4096');

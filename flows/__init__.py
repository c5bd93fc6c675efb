"""Order, retries, parallelism: the only folder that knows Prefect and Ray; the command line."""

"""Storage and SQL: the lake, its migrations and views."""

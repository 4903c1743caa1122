"""Where records end: one contract, one file per place to store.

contract.py  RULE  what a sink promises, and which sinks there are by name
columns.py   RULE  which column type a list of values has, and which type holds two of them
tables.py    RULE  which fields have a column in a database, and which share ``_rest``
postgres_values.py RULE  which type of PostgreSQL a field gets, and which values fit it
files.py     I/O   what the sinks that write files have in common
parts.py     I/O   one file per batch, written aside and renamed; merged when the run ends
remote.py    I/O   the same at S3, GCS, Azure and over SFTP (remote_address.py RULE where, remote_store.py, remote_sftp.py I/O how)
sql.py       I/O   reads what the sinks wrote by DuckDB (sql_tables.py: what lies in databases)
parquet.py  jsonl.py  csv.py  sqlite.py  postgres.py  memory.py   the sinks; copy jsonl.py to add one that writes files,
sqlite.py for a database, and let a test of it subclass tests/contracts/sink.py

No sink imports Scrapy or Twisted; a sink's heavy libraries are imported where they are used, in the worker.
"""

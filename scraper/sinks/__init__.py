"""Where records end: one contract, one file per place to store.

contract.py  RULE  what a sink promises, and which sinks there are by name
columns.py   RULE  which column type a list of values has, and which type holds two of them
parts.py     I/O   one file per batch, written aside and renamed; merged when the run ends
parquet.py  jsonl.py  memory.py   the sinks; copy jsonl.py to add one, and add it to tests/contracts/sink.py

No sink imports Scrapy or Twisted; a sink's heavy libraries are imported where they are used, in the worker.
"""

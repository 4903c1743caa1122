"""What happened, in one word: every run has a record, an outcome with its reason, a report and a summary.

Rules: facts.py (of the stats), outcome.py (RULES, exit codes), report.py (report.json), summary.py and status.py
(a terminal's), words.py (numbers), errors.py (grouped), redact.py (no secret in any of them), naming.py (ids, folders).
I/O: record.py (run.json and its heart), failed.py (failed.jsonl), signals.py (which one came).
Adapters: extension.py watches the crawl and writes; begin.py reads settings; logs.py redacts the log.
"""

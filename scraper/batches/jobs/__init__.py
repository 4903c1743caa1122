"""The steps that are there already (docs/steps.md). Libraries do the work and are imported when a worker opens the step.

tidy.py   RULE  clean, redact, content_hash               values.py   RULE  price, date
pages.py  RULE  main_text, structured_data, language      schema.py   I/O   schema
dedupe.py I/O   dedupe_exact, dedupe_near                 index.py    I/O   the file of what was seen
near.py   RULE  when two texts are nearly the same
"""

"""Items to worker processes: nothing lost, nothing doubled, whoever is killed.

encode.py   RULE  an item of any kind -> bytes            steps.py     RULE  what a step is; jobs/: the steps
batcher.py  RULE  when a batch is full enough             wire.py      RULE  what crawler and worker say
spool.py    I/O   the log on disk that is the transport   ledger.py    I/O   what became of each batch
worker.py   I/O   one batch: read, steps, sink, answer    pool.py      I/O   starts and watches the workers
delivery.py I/O   all of it together, on an asyncio loop  drain.py     I/O   delivers what a killed run left
inline.py   I/O   no processes, for debugging             dead_letters.py I/O  what no step or sink could take
middleware.py ADAPTER  which page an item came from         pipeline.py  ADAPTER  items in, stats out
"""

"""Items to worker processes: nothing lost, nothing doubled, whoever is killed.

encode.py   RULE  an item of any kind -> bytes            steps.py     RULE  what a step is; jobs/: the steps
batcher.py  RULE  when a batch is full enough             wire.py      RULE  what crawler and worker say
log.py      RULE  what a log of items is                  outage.py    RULE  when to try again, when to give up
spool.py    I/O   the log on disk that is the transport   segments.py  I/O   what stands in it, whatever is damaged
ledger.py   I/O   what became of each batch               left.py      I/O   what is left, told by both
worker.py   I/O   one batch: read, steps, sink, answer    pool.py      I/O   starts and watches the workers
delivery.py I/O   all of it together, on an asyncio loop  assembly.py  I/O   what a delivery is made of
refusals.py I/O   a store or disk that takes nothing      syncer.py    I/O   spool to disk, in a thread
gate.py     I/O   where puts wait for room                children.py  I/O   worker processes: started, ended
inline.py   I/O   no processes, for debugging             dead_letters.py I/O  what no step or sink could take
drain.py    I/O   delivers what a killed run left         middleware.py ADAPTER  which page an item came from
pipeline.py ADAPTER  items in, stats out

elsewhere/  workers on other machines    afterwards/  what a run has left: status, replay, new steps over old segments
"""

"""What a run has left, and what can be done with it: the files behind `scrapy batches`.

finding.py  I/O   which run is meant           standing.py  I/O   what waits, what is damaged, who is at it
replay.py   I/O   dead letters once more       rerun.py     I/O   new steps over kept segments
archive.py  I/O   kept segments as a log       with_ray.py  I/O   the same by Ray Data          wording.py  RULE  in words
"""

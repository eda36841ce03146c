"""How fast the machine is while it measures: a fixed computation before and after each case.

before ─► case ─► after        work.py     the computation
                               log.py      takes of it, kept as the cases are
                               summary.py  what the takes say of a run, and of two runs
"""

"""The five sentences that open the page, computed from the data. They state; they do not judge.

choice.py    which five, of all that could be said
loads.py     rates of closed loops, waits of open ones, the fastest and the slowest
ratios.py    a server over the model alone, files for a phone over float32, a GPU over the CPU
machine.py   share of the machine's peak, noise, copies to and from a card, the machine itself
loadgen.py   MLPerf LoadGen
limits.py    the highest rate under an SLO, what held there and what broke above, a tuned server
events.py    life events
index.py     a search at a recall and without loss, its memory, its build
training.py  rows and steps of training
clients.py   the client beside the official way
spoilt.py    what was void, failed, skipped or absent: always the last
"""

from dualtower_benchmarks.report.scenario.findings.choice import SENTENCES, findings_of

__all__ = ["SENTENCES", "findings_of"]

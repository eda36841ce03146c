"""`dualtower bench faults`: what the clients do while servers, names, bytes and callers go wrong.

servers, hostile     processes that answer, and ends of connections that do not
down, slow, answers, swaps, callers        a function for each fault ─► load ─► Row
judge                what no row may show: a wrong answer, an unnamed failure, a hang, a leak
catalogue, table, cli                      all faults of a run, as JSON or a table, exit 0 or 1
"""

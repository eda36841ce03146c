"""The published layout of results, and the one way to read them.

results.schema.json   JSON Schema 2020-12, every key with its meaning and unit
compare.schema.json   likewise of a comparison; others of what their command prints with --json
read.py               a results file with its requests, or an error that says what is wrong with it
"""

from dualtower_benchmarks.schema.layout import DOCUMENTS, SCHEMA, results_schema, schema_of
from dualtower_benchmarks.schema.read import Results, read_results

__all__ = ["DOCUMENTS", "SCHEMA", "Results", "read_results", "results_schema", "schema_of"]

"""One self-contained page of what was trained, exported and measured.

inputs.py    the result files, each present or absent for a stated reason
findings.py  sentences computed from them
*_figure.py  matplotlib panels; svg.py makes them follow the page's colours
sections.py  tables and figures in the order of the page
page.html.j2, page.css
"""

from dualtower_benchmarks.report.write import Written, write_report

__all__ = ["Written", "write_report"]

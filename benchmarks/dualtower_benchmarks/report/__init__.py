"""One self-contained page of what was trained, exported and measured.

road/        from the run and the bundle: quality, files for a phone, gates, training, data
scenario/    from results of `dualtower bench`: loops, distributions, devices, LoadGen, index
write.py     both on one page
svg.py       makes matplotlib's panels follow the page's colours
page.py, page.html.j2, page.css
"""

from dualtower_benchmarks.report.page import Written
from dualtower_benchmarks.report.write import write_report

__all__ = ["Written", "write_report"]

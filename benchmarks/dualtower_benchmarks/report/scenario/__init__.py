"""What `dualtower bench` measured, as sentences and sections of the page.

inputs.py     results files, recognised by what they hold
findings.py   five sentences computed from them
*_figure.py   panels: loops, throughput, distribution, time, noise, spoilt requests
sections.py   panels and tables in the order of the page
"""

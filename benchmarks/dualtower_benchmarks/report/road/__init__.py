"""The road from a log to a bundle, as sentences and sections of the page.

inputs.py     what a run and a bundle recorded, each present or absent for a stated reason
findings.py   sentences computed from it
*_figure.py   panels: ranking quality, files for a phone, training
sections.py   panels and tables in the order of the page
"""

"""Results as Markdown: a table to paste, and a README whose numbers a command writes.

table.py   cases of a results file as a Markdown table, with the machine below it
parts.py   limits, events and what else a file holds, as tables and numbers
values.py  what a marker asks for: a table, the machine, the command, or one number
keep.py    results as a repository keeps them
readme.py  a README between its markers, rewritten whole or not at all
"""

"""Why an item was recommended: Shapley values of the history's items and of the texts' words.

shapley.py      the formula, over any game
words.py        where the words of a text are
games.py        the two games: subsets of a history, subsets of the words of a text
explanation.py  a run, a user, an item: all of it
attribution_tables.py  attribution_plot.py  cli.py
"""

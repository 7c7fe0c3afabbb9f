# SPDX-License-Identifier: MIT
"""`cgunicorn lab`: what worker classes, workers and threads make of one application, measured on
this machine with a load of our own. Imported only by that command.

command.py   its command line, and the order of things
grid.py      which combinations are measured
subject.py   the server that is measured: the ordinary one, which can be told to be slow
server.py    starts and ends it
crowd.py     the clients, reply.py: what they read
trial.py     the measurements of one cell of the grid
figures.py   what a trial found
table.py, verdict.py, chart.py, progress.py   how it is told
"""

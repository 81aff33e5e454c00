"""The bench: how fast a photo becomes tags, beside the fastest loop that could be written by hand on the same machine.

`make bench`, or `python -m tests.load` from the repository's root. A scenario is one file of `scenarios/`: to measure
something new, add a file there and touch nothing else.
"""

"""The `tagwright` command line: a thin client like any other, with tables for people and JSON lines for programs.

Exit codes that scripts can trust: 0 only if everything that was asked for happened, 2 for a wrong command line,
130 after Ctrl-C, 1 otherwise. Results go to standard output, everything else to standard error.
"""

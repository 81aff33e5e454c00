"""The refinement module: which of a photo's tags are right, wrong or missing, and why.

Pure functions and values over numpy; it knows no database, no network and no caller. Training imports it as well, so
that what is measured is what is served.
"""

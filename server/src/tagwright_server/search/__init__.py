"""Tag search: the query language, which photos a query holds for and how well, variety, and codes of looks.

Plain functions over arrays and what the tag index holds: no database, no network, no pixels, no gRPC.
"""

"""What Tagwright does, in plain functions and dataclasses; it imports no grpc, database, torch or image library.

The rooms it needs (`inference`, `images`) are handed in by `app` as small Protocols.
"""

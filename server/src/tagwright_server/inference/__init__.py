"""From squares of pixels to scores: the only room that knows torch or Triton, and only in the files named for them.

`backend.Backend` is what the rest of the house sees. Nothing a model answers leaves this room unchecked.
"""

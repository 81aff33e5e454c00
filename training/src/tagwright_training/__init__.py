"""Training of Tagwright's taggers: prepare a data set, train, evaluate, export.

Promises: the same data and the same seed give the same split, and no figure is computed on a photo the model has seen.
Never: imported by the server or a client. It reads their one definition of preprocessing, never the other way round.
"""

__version__ = "0.1.0"

"""Tagwright's server: a photo goes in over gRPC, calibrated tags come out. `app` says which rooms it has."""

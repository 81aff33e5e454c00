"""Tagwright's contract; `tagwright.v1` holds its first version. No other distribution installs into this package."""

"""Stubs generated from protos/tagwright/v1/*.proto: never edited by hand, see protos/generate.py."""

"""Refinement, offline: batch methods, baselines, fitting what the server runs, and measuring all of it."""

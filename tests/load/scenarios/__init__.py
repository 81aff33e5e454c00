"""One file a scenario; `../scenario.py` says what it must have."""

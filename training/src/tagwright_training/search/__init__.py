"""Search: codes of looks trained on user tags, and how good tag search, variety and codes are."""

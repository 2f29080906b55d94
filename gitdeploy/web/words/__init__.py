"""The page's words, in each of its languages."""

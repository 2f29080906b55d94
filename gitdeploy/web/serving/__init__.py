"""Routes, and the servers that answer them."""

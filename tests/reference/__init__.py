"""The reference: made from the code, and tested to be what the code says now."""

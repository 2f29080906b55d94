"""What a deployment will do, and what speaks against it."""

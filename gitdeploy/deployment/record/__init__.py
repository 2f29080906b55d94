"""What is written of a deployment and told of it."""

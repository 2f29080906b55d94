"""Deployments in a process of their own, and as another user."""

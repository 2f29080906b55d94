"""Hooks: programs of the app's that a deployment runs, and those that come with gitdeploy."""

"""Backups: saved states of the app that `restore` brings back."""

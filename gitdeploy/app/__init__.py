"""App: the one facade that the command line, the page and scripts use."""

from gitdeploy.app.app import App

__all__ = ["App"]

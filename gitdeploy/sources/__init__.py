"""Where releases are announced: one file a source, and the catalogue that the app asks."""

from gitdeploy.sources.base import CheckResult, Current, GitRemote, HttpStore, Release, Source
from gitdeploy.sources.catalogue import Catalogue

__all__ = ["Catalogue", "CheckResult", "Current", "GitRemote", "HttpStore", "Release", "Source"]

"""The state directory `.gitdeploy/`, its lock and its database."""

from gitdeploy.state.database import Database, DeploymentRow, Record
from gitdeploy.state.directory import NAME, StateDirectory
from gitdeploy.state.lock import DeploymentLock, Holder

__all__ = ["NAME", "Database", "DeploymentLock", "DeploymentRow", "Holder", "Record", "StateDirectory"]

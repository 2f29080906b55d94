"""The state directory `.gitdeploy/`, its lock and its database."""

from gitdeploy.state.database import Database, DeploymentRow, Record
from gitdeploy.state.directory import NAME, RESERVE_SIZE, StateDirectory
from gitdeploy.state.lock import DeploymentLock, Holder

__all__ = ["NAME", "RESERVE_SIZE", "Database", "DeploymentLock", "DeploymentRow", "Holder", "Record", "StateDirectory"]

"""The state directory `.gitdeploy/`, its lock and its database."""

from gitdeploy.state.database import Database
from gitdeploy.state.directory import NAME, RESERVE_SIZE, StateDirectory
from gitdeploy.state.lock import DeploymentLock, Holder
from gitdeploy.state.rows import BadRelease, DeploymentRow, Record

__all__ = [
    "NAME",
    "RESERVE_SIZE",
    "BadRelease",
    "Database",
    "DeploymentLock",
    "DeploymentRow",
    "Holder",
    "Record",
    "StateDirectory",
]

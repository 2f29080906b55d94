"""The state directory `.gitdeploy/`, its lock and its database."""

from gitdeploy.state.database import BadRelease, Database, DeploymentRow, Record
from gitdeploy.state.directory import NAME, RESERVE_SIZE, StateDirectory
from gitdeploy.state.lock import DeploymentLock, Holder

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

"""A first deploy.yaml, drafted from what the checkout and the machine show, each line tried where that is possible."""

from gitdeploy.upkeep.drafting.drafted import Draft, draft
from gitdeploy.upkeep.drafting.trying import Tried, tries

__all__ = ["Draft", "Tried", "draft", "tries"]

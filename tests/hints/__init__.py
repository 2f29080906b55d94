"""Every hint followed: what it says is done, and the problem is gone."""

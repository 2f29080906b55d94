"""Below the line: the steps that touch the live app, and their undoing."""

"""Above the line: everything that is made ready beside the live app."""

"""A release tried on a copy of the app and of its data. Nothing live is touched here."""

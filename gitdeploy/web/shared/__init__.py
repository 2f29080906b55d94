"""What page and API share: one look at the app, one deployment that runs."""

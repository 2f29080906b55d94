"""Who may do what on the page and with the API."""

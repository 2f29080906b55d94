"""Everything that belongs to one app, and what is known of it outside a deployment."""

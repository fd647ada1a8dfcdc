"""The door: how a post over HTTP becomes a lead."""

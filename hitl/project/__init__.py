"""A project: its folder and configuration, and what it tells of itself."""

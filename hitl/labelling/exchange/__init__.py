"""Labels out to other tools, and corrected labels back in."""

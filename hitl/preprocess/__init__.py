"""Make images easier to segment: pure steps, and the config's list of them."""

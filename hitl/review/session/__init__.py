"""A person's corrections of one stack, kept as a draft until they are committed; no Qt here."""

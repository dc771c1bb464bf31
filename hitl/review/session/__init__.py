"""A person's corrections of one field, kept as a draft until they are committed; no Qt here."""

"""What to correct next: objects by expected error, with a random share for an honest estimate."""

"""What is printed of results: tables and sentences for people."""

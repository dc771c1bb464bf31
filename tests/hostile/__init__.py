"""Odd and hostile input at the command line, under limits of time and memory."""

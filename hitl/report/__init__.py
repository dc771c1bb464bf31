"""The report of a project: one HTML file that a biologist reads, and its figures as JSON."""

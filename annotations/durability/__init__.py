"""What is committed to a local store stays, and what is damaged of it is found.

Icechunk's own files get checksums, are on the disk before a commit is told, and are compared with
their checksums before they are read.
"""

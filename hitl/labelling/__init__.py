"""All that ends in a commit: stacks added, labels proposed, corrected, taken back."""

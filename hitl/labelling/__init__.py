"""All that ends in a commit: fields added, labels proposed, corrected, taken back."""

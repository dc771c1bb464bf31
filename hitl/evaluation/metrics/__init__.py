"""Metrics of label images: one pass over truth and prediction serves all of them."""

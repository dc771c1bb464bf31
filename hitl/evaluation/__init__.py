"""Evaluation: metrics, scores of models and people, and paired comparisons."""

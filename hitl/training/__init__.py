"""Training: samples, runs, sweeps, and which run is in use."""

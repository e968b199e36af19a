"""What every training has in common: optimiser, checkpoints, results, intervals."""

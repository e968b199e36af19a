"""LEAP: recognition and anticipation of actions, supervised by action programs (arXiv 2312.00055)."""

"""A trained model as a folder that needs nothing else: written, checked, described, and found on the hub."""

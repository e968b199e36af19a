"""Finished runs read from their folders, compared, and shown on one page."""

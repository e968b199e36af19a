"""Pixels: readers, sampling, transforms, encoders of seconds."""

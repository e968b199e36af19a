"""What is read in run folders and shown to people. No networks."""

"""Language: sentence encoders, causal models, clients of servers."""

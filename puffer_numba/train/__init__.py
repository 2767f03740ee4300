"""Proximal policy optimization: collecting rollouts, and learning from them. Knows nothing of files and terminals."""

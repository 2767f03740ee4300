"""Trained policies for others: files that run without this library, and the Hugging Face Hub."""

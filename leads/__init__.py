"""Leads as they are stored, judged and read."""

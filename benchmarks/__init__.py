"""Measurements that the repository publishes; each script prints what it measured."""

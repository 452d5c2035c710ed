"""Logs of what shoppers were shown and did: readers, the columns they are kept in, and joins."""

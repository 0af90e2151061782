"""Devices, processes of several hosts, and signals."""

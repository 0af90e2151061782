"""Devices, processes on several hosts, and signals."""

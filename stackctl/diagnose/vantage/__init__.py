"""Probes that run where a consumer is: for python3, for node and for a plain shell.

They read the plan from standard input, change nothing, write no file, and end by themselves.
"""

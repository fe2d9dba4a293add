"""Stages wired together: what several commands, and the server, need of more than one stage."""

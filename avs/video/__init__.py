"""Shots and frames of video files: `VideoFolder` (folder), `find_videos` (find), shot tables (master_shots, detect)."""

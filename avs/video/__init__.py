"""Video files to shots and frames: `VideoFolder` (folder), `find_videos` (find), shot tables (master_shots, detect)."""

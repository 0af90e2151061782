"""From files to clips: video, tracks, sound, pictures."""

"""Pictures, charts and pages; nothing here knows of runs."""

"""Pictures, charts and pages; nothing here knows about runs."""

"""The stored layout: features, reading, fingerprint, splits."""

"""Taking sounds apart: spectra and their inverses, resampling, and measures. Knows no network."""

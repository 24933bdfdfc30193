"""One command per file; each exports `command`."""

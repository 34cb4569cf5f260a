"""What the desk reads: every query of the page and the API."""

"""Server-rendered pages. They work without scripts and call the same services as the API."""

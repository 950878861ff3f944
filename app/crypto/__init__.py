"""The only importer of joserfc and cryptography. Keys are arguments; nothing here opens a database."""

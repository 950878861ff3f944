"""What every slice stands on and what knows nothing of consent: settings, database, errors, ids, jobs, blobs."""

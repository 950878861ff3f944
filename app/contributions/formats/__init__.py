"""One reader a file per outside system: lines of its export in, drafts of contributions out. Readers are pure."""

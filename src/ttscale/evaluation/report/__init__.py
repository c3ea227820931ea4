"""Reports: tables and figures of stored results, as a page."""

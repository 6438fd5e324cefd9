"""report.html: a sweep, or several, as one page without outside resources."""

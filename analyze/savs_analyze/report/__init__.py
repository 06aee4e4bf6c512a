"""What people look at: tables for readers, figures, and one HTML page, all from findings."""

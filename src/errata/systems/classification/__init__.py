"""Classification with wrong labels."""

"""What the server is and says: connections, copies in and out, catalogue, statements to run."""

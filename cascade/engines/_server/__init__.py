"""What the engines of all servers share: fields, listings, pages, waiting, connecting."""

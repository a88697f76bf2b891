"""D's dropout, filters, depth and width."""

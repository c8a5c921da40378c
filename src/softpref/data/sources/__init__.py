"""Published preference data as our rows: one module per data set, each with the page that describes its columns."""

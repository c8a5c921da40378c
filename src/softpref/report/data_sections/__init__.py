"""The parts of the page about one labelled data set, one module each."""

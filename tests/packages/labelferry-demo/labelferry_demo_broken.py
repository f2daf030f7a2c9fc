raise ImportError("no module named something_else")

"""Bodies of requests and answers: content types, their encodings, and errors."""

"""Who judges a close: deterministic rules, or a model over HTTP. Knows no tables; both give the same kind of answer."""

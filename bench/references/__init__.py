"""The programs that the product is measured against: bare (R), as usual (D), and FastAPI (F)."""

"""Clean instance masks, and derive the edge class from them."""

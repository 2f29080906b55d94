"""Several apps on one server: the list that names them, and what each is like at this moment."""

"""What `ostinato.data` is made of."""

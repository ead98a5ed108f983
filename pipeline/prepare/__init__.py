"""What is done to texts before the model reads them."""

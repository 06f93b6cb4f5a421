"""A blend of real pictures that an ImageNet classifier takes for one of them."""

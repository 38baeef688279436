"""Handle labels: what one may be, by whose content they are found, tables and files of them."""

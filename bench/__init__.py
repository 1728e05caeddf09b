"""Time the seven programs on lamina and on its peers: `python -m bench --help`."""

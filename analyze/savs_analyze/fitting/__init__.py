"""From labelled vectors to a classifier: choose, fit, estimate, calibrate. Arithmetic alone but for `store.py`."""

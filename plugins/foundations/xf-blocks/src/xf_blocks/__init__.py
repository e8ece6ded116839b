"""Neural network parts that model plugins share. Import from the modules; this package imports nothing."""

"""Neural network parts that model plugins share. Import what you need from the modules; this package imports nothing."""

"""The state cache of Mamba models for xf."""

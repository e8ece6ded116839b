"""The task question-answering for xf."""

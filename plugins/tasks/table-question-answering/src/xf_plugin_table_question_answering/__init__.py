"""The task table-question-answering for xf."""

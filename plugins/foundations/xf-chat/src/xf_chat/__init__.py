"""Chat templates: conversations to text, in a sandbox."""

"""The task text-generation: texts and conversations, continued."""

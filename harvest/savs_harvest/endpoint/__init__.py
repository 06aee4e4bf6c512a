"""Any endpoint as a system: a server in OpenAI's chat form is asked, and its answers are kept as vectors are."""

"""Where a store lies: a folder, memory, a bucket; groups, files and byte ranges in it."""

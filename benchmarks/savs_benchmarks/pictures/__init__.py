"""Files of pictures: what cameras write, read right or refused."""

"""What is wrong with a classifier or its file."""


class ClassifierError(ValueError):
    """A classifier's file that cannot be read, or a method that cannot be deployed; the message says what to do."""

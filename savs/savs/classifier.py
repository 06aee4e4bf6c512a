"""A fitted classifier with its model: pictures in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

from savs.extras import needing_harvest
from savs_analyze.classifier.classifier import Answers, Classifier, Doubt
from savs_analyze.classifier.file import read_classifier

if TYPE_CHECKING:
    from savs_harvest.run.encoding import Encoder, Shown

Scores: TypeAlias = list[dict[str, Any]]
TOP_K = 5


class PictureClassifier:
    """Answers for pictures in memory or files; its model is loaded when it is first asked.

    `clf(images)` is in the form of the image-classification pipeline of transformers, `predict` and `predict_proba`
    are in that of scikit-learn, `answer` gives sets and doubt as well.
    """

    def __init__(self, classifier: Classifier, model: dict[str, Any]) -> None:
        self.classifier, self._model = classifier, model

    @property
    def classes_(self) -> Shaped[np.ndarray, " class"]:
        return np.array(self.classifier.classes)

    def predict(self, images: Sequence[Any], questions: str | Sequence[str] | None = None) -> np.ndarray:
        """Return the class of every picture."""
        predicted, _ = self.classifier.classify(self._vectors(images, questions))
        return self.classes_[predicted]

    def predict_proba(
        self, images: Sequence[Any], questions: str | Sequence[str] | None = None
    ) -> Float[np.ndarray, "sample class"]:
        """Return the probability of every class, in the order of `classes_`."""
        _, probabilities = self.classifier.classify(self._vectors(images, questions))
        return probabilities

    def answer(
        self,
        images: Sequence[Shown | Sequence[Shown]],
        questions: str | Sequence[str] | None = None,
        doubt: Doubt | None = None,
    ) -> Answers:
        """Return class, probabilities, set and doubt of every picture.

        A picture is a PIL image, an array `[height, width, 3]` or `[height, width]` of bytes, or a path; a sample may
        show a list of them. `questions` are for classifiers that were fitted on samples with questions of their own.
        Raises ValueError naming the first picture that cannot be read, and for another question.
        """
        return self.classifier.answer(self._vectors(images, questions), doubt or Doubt())

    def __call__(
        self, images: Any, top_k: int | None = TOP_K, questions: str | Sequence[str] | None = None
    ) -> Scores | list[Scores]:
        """Return [{"label", "score"}, ...] of a picture, best first, or a list of such for a list of pictures."""
        one = not isinstance(images, list | tuple)
        if not one and not len(images):
            return []
        probabilities = self.predict_proba([images] if one else images, questions)
        found = [self._scores(row, top_k) for row in probabilities]
        return found[0] if one else found

    def _scores(self, probabilities: np.ndarray, top_k: int | None) -> Scores:
        best = np.argsort(-probabilities, kind="stable")[:top_k]
        return [{"label": self.classifier.classes[place], "score": float(probabilities[place])} for place in best]

    def _asked(self, questions: str | Sequence[str] | None) -> str | Sequence[str]:
        """Return what is asked. Raises ValueError where it is not what the classifier was fitted on."""
        own = self.classifier.about.question
        if questions is None:
            if own is None:
                raise ValueError(
                    "this classifier was fitted on samples with questions of their own: give questions=..."
                )
            return own
        asked = {questions} if isinstance(questions, str) else set(questions)
        if own is not None and asked - {own}:
            raise ValueError(f"this classifier was fitted on {own!r}: its heads know no other question")
        return questions

    def _vectors(self, images: Sequence[Any], questions: str | Sequence[str] | None) -> np.ndarray:
        asked, encoder, dim = self._asked(questions), self.encoder, self.classifier.dim
        from savs_harvest.run.encoding import encode_blocks
        from savs_harvest.run.expected import widened

        blocks = [widened(block, dim) for block in encode_blocks(encoder, images, asked)]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.classifier.heads), dim))

    @cached_property
    def encoder(self) -> Encoder:
        """The model that was fitted, up to the last layer that is needed."""
        with needing_harvest("load"):
            from savs_harvest.cli.deployed import expected_of
            from savs_harvest.models.loading import quiet_libraries
            from savs_harvest.run.expected import Choice, encoder_of, load_expected

        quiet_libraries()
        expected = expected_of(self.classifier)
        loaded = load_expected(expected, Choice(**self._model), lambda _: False)
        return encoder_of(expected, loaded, expected.settings())

    def __repr__(self) -> str:
        about, heads = self.classifier.about, len(self.classifier.heads)
        return f"<savs classifier of {len(about.classes)} classes: {heads} heads of {about.model.get('name')}>"


def load(
    path: str | Path,
    *,
    model: str | None = None,
    adapter: str | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    device: str = "auto",
) -> PictureClassifier:
    """Load a classifier that `fit` has written; its model is loaded with the first picture.

    Without `model`, it is the one that was fitted, where it is on this machine; nothing is downloaded, and no folder
    loaded, because the file says so. Raises `ClassifierError` for anything but a sound file, and with the first
    picture `MismatchError` with the fields in which the model is not the one that was fitted.
    """
    chosen = {"model": model, "adapter": adapter, "revision": revision, "dtype": dtype, "device": device}
    return PictureClassifier(read_classifier(Path(path)), chosen)

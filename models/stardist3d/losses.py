"""StarDist's losses, blind to what is unknown, and one step of the optimisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.stardist3d.runtime import import_stardist

BACKGROUND_WEIGHT = 1e-4
"""StarDist's ``train_background_reg``: pulls distances in the background towards 0."""

LOSS_WEIGHTS = (1.0, 0.2)
"""StarDist's weights of the probability's and the distances' loss."""


def masked_losses(n_rays: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return StarDist's losses of probability and distances, blind to unknown targets.

    On fully known targets they equal StarDist's (Weigert et al. 2020, eq. 3 to 5). Otherwise
    voxels of unknown probability (below 0) count in neither loss, nor in the background term,
    which StarDist's own still applies there; a batch without any known voxel gives 0 instead of
    NaN. A negative distance means "at least so far": only a shorter prediction is an error.
    """
    tf = import_stardist().tf
    backend = tf.keras.backend

    def prob_loss(true: Any, predicted: Any) -> Any:
        known = tf.cast(true >= 0, predicted.dtype)
        entropy = backend.binary_crossentropy(tf.maximum(true, 0), predicted)
        return tf.reduce_sum(known * entropy) / tf.maximum(tf.reduce_sum(known), 1)

    def dist_loss(true: Any, predicted: Any) -> Any:
        distances, weight = tf.split(true, [n_rays, 1], axis=-1)
        known = tf.cast(weight >= 0, predicted.dtype)
        inside = tf.maximum(weight, 0)
        short = tf.abs(distances) - predicted
        error = tf.where(distances < 0, tf.maximum(short, 0), tf.abs(short))
        background = tf.reduce_mean(known * (1 - inside) * tf.abs(predicted))
        share = tf.reduce_mean(inside) + backend.epsilon()
        return tf.reduce_mean(inside * error) / share + BACKGROUND_WEIGHT * background

    return prob_loss, dist_loss


class Stepper:
    """A network with its optimiser and the moving average of its weights.

    Parameters
    ----------
    network : StarDist3D
    """

    def __init__(self, network: Any) -> None:
        tf = import_stardist().tf
        self.model = network.keras_model
        self.optimiser = tf.keras.optimizers.Adam()
        self.optimiser.build(self.model.trainable_variables)
        self.average = [tf.Variable(weight, trainable=False) for weight in self.model.weights]
        self._prob_loss, self._dist_loss = masked_losses(int(network.config.n_rays))
        self._train = tf.function(self._train_step, reduce_retracing=True)
        self._test = tf.function(self._test_step, reduce_retracing=True)

    def train(self, batch: Any, rate: float, decay: float) -> tuple[float, float, float]:
        """Learn from one batch.

        Returns
        -------
        (float, float, float)
            Loss, loss of the probability, loss of the distances, before the step.
        """
        images, (prob, dist) = batch
        self.optimiser.learning_rate.assign(rate)
        total, of_prob, of_dist = self._train(images, prob, dist, _scalar(decay))
        return float(total), float(of_prob), float(of_dist)

    def test(self, batch: Any) -> tuple[float, float, float]:
        """Return the losses of one batch."""
        images, (prob, dist) = batch
        total, of_prob, of_dist = self._test(images, prob, dist)
        return float(total), float(of_prob), float(of_dist)

    def swap(self) -> None:
        """Exchange the network's weights and their average."""
        weights = self.model.get_weights()
        self.model.set_weights([average.numpy() for average in self.average])
        for average, weight in zip(self.average, weights, strict=True):
            average.assign(weight)

    def _losses(self, images: Any, prob: Any, dist: Any, training: bool) -> tuple[Any, Any, Any]:
        of_prob, of_dist = self.model(images, training=training)[:2]
        prob_loss, dist_loss = self._prob_loss(prob, of_prob), self._dist_loss(dist, of_dist)
        return LOSS_WEIGHTS[0] * prob_loss + LOSS_WEIGHTS[1] * dist_loss, prob_loss, dist_loss

    def _test_step(self, images: Any, prob: Any, dist: Any) -> tuple[Any, Any, Any]:
        return self._losses(images, prob, dist, False)

    def _train_step(self, images: Any, prob: Any, dist: Any, decay: Any) -> tuple[Any, Any, Any]:
        tf = import_stardist().tf
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            total, of_prob, of_dist = self._losses(images, prob, dist, True)
        gradients = tape.gradient(total, variables)
        self.optimiser.apply_gradients(zip(gradients, variables, strict=True))
        for average, weight in zip(self.average, self.model.weights, strict=True):
            average.assign(decay * average + (1 - decay) * weight)
        return total, of_prob, of_dist


def _scalar(value: float) -> Any:
    return import_stardist().tf.constant(value, "float32")

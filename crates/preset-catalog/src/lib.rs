//! Model presets as data and the GPU memory estimator.

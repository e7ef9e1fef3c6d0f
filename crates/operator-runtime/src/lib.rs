//! Everything kube-shaped that the controllers share.

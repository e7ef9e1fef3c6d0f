//! What integration tests share: a cluster, namespaces, our programs as processes.

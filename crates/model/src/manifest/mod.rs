//! The manifests of a deploy repository: rendering, parsing, merging.

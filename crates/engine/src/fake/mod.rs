//! An engine in memory with a cluster's manners.

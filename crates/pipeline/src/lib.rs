//! naru-pipeline
